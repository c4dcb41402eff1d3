package main

import "github.com/spf13/cobra"

// controlCommands are those that look at a running emulator and act on it.
func controlCommands() []*cobra.Command {
	group := func(id string, all ...*cobra.Command) []*cobra.Command {
		for _, cmd := range all {
			cmd.GroupID = id
		}
		return all
	}
	look := group("look", attachCommand(), roomsCommand(), connectionsCommand(), inspectCommand(), eventsCommand(), logsCommand(), kvCommand(), sqlCommand())
	force := group("force", hibernateCommand(), evictCommand(), abortCommand(), resetCommand(), alarmCommand(), clockCommand(), reloadCommand(), crashCommand(), failCommand())
	try := group("try", connectCommand(), sendCommand(), recordCommand())
	return append(append(look, force...), try...)
}

// groups are the headings of the help.
var groups = []*cobra.Group{
	{ID: "run", Title: "Run a server:"},
	{ID: "try", Title: "Try it out:"},
	{ID: "look", Title: "Look into it, from another terminal:"},
	{ID: "force", Title: "Force what the platform does:"},
}
