-- +goose Up
CREATE UNIQUE INDEX authors_name ON authors (name);
-- +goose StatementBegin
CREATE TRIGGER authors_bio AFTER INSERT ON authors WHEN new.bio IS NULL BEGIN
  UPDATE authors SET bio = 'unknown' WHERE id = new.id;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER authors_bio;
DROP INDEX authors_name;
