package script

import "testing"

func TestIdsThatWereMadeUpAreNumbered(t *testing.T) {
	for text, want := range map[string]string{
		`"id=V1StGXR8_Z5jdHi6B-myT"`:                            `"id=(id 1)"`,
		`"id=acaKXega_WI-tJWSpFdEE"`:                            `"id=(id 1)"`, // no digit
		`acaKXega_WI-tJWSpFdEE, bob4bob4bob4bob4bob4b`:          `(id 1), (id 2)`,
		`V1StGXR8_Z5jdHi6B-myT, then V1StGXR8_Z5jdHi6B-myT`:     `(id 1), then (id 1)`,
		`reload_of_slow_rooms_`:                                 `reload_of_slow_rooms_`, // words of as many letters
		`uncharacteristically-`:                                 `uncharacteristically-`,
		`RestoreBookmarkOfYear`:                                 `RestoreBookmarkOfYear`,
		`PARTY_TEST_CLIENTS_AT`:                                 `PARTY_TEST_CLIENTS_AT`,
		`V1StGXR8_Z5jdHi6B-myTx is longer than made-up ids are`: `V1StGXR8_Z5jdHi6B-myTx is longer than made-up ids are`,
	} {
		if got := steadied(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
