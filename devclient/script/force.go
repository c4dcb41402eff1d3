package script

import (
	"context"
	"errors"
	"fmt"

	"github.com/goparty/party/emulator"
	"github.com/goparty/party/emulator/inspect"
)

// acting names the room that a command is about and the server it is on.
func (s *session) acting(args []string) (server *server, room string, err error) {
	if err := s.count(args, 1, 1); err != nil {
		return nil, "", err
	}
	server, err = s.running()
	room = roomName(args[0])
	s.involve(room)
	return server, room, err
}

func (s *session) hibernate(_ bool, args []string) error {
	a, err := s.parse(args, map[string]bool{"-force": false})
	if err != nil {
		return err
	}
	server, room, err := s.acting(a.rest)
	if err != nil {
		return err
	}
	if err := s.quiet(); err != nil {
		return err // a room that is at work cannot hibernate
	}
	return s.awakeOnly(room, server.em.Hibernate(s.runner.ctx, room, a.has("-force")))
}

func (s *session) evict(_ bool, args []string) error {
	server, room, err := s.acting(args)
	if err != nil {
		return err
	}
	s.busy = false
	return s.awakeOnly(room, server.em.Evict(s.runner.ctx, room))
}

// awakeOnly takes it for done where there was nothing to drop any more: the room
// is as it was asked to be. One that ran before and left nothing behind is asleep
// too, though it does not exist.
func (s *session) awakeOnly(room string, err error) error {
	switch {
	case errors.Is(err, emulator.ErrAsleep):
		return nil
	case errors.Is(err, inspect.ErrNoRoom) && s.lived(room).Starts > 0:
		return nil
	}
	return err
}

func (s *session) abort(_ bool, args []string) error {
	server, room, err := s.acting(args)
	if err != nil {
		return err
	}
	s.busy = false
	if server.engine != nil {
		_ = s.askOne("abort", "a script asked for it", room, nil) // its answer is lost with the room
		return nil
	}
	return s.awakeOnly(room, server.em.Abort(s.runner.ctx, room))
}

func (s *session) fire(_ bool, args []string) error {
	server, room, err := s.acting(args)
	if err != nil {
		return err
	}
	if err := s.quiet(); err != nil {
		return misuse{err}
	}
	if err := server.em.Fire(s.runner.ctx, room); err != nil {
		return err
	}
	if err := s.quiet(); err != nil {
		return misuse{err}
	}
	return nil
}

func (s *session) idle(_ bool, args []string) error {
	if err := s.count(args, 0, 0); err != nil {
		return err
	}
	if _, err := s.running(); err != nil {
		return err
	}
	return s.quiet()
}

func (s *session) advance(_ bool, args []string) error {
	if err := s.count(args, 1, 1); err != nil {
		return err
	}
	d, err := duration(args[0])
	if err != nil {
		return s.misuse("%v", err)
	}
	if s.server == nil {
		s.now = s.now.Add(d)
		return nil
	}
	if err := s.quiet(); err != nil {
		return err
	}
	em := s.server.em
	err = em.AdvanceClock(d, func() error {
		ctx, cancel := context.WithTimeout(s.runner.ctx, emulator.QuietLimit)
		defer cancel()
		if err := em.Settled(ctx); err != nil {
			return fmt.Errorf("the clock stays at %s, because what fell due there goes on: %w", em.Clock().Now().UTC().Format("2006-01-02T15:04:05.999999999Z"), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.quiet()
}
