// Package control lets other programs see an emulator and act on it: HTTP over
// a Unix socket, and a client that is an [inspect.Emulator] itself.
//
// The socket is .party/dev.sock in the directory where `party dev` runs. Only
// its owner may open it, and it is no port, so no page in a browser can reach
// it. With curl:
//
//	curl --unix-socket .party/dev.sock http://party/v1/rooms
//	curl --unix-socket .party/dev.sock -X POST 'http://party/v1/evict?room=chat/lobby'
//
// The routes of version 1. What is named behind ? are query parameters, those
// in brackets may be left out. ROOM is party/name as in the URL, ID that of a
// connection. Times are RFC 3339, durations in answers are nanoseconds and in
// parameters like 1m30s.
//
//	GET    /v1                              the version and these routes
//	GET    /v1/snapshot                     everything, as inspect.Snapshot
//	GET    /v1/rooms                        [inspect.Room], by name
//	GET    /v1/room?room=ROOM               inspect.RoomDetail
//	GET    /v1/connections?[room=ROOM]      [inspect.Connection]
//	GET    /v1/events?[limit=N][snapshot=1][past=N][logs=1][follow=0][payload=N]   one event a line, see below
//	GET    /v1/kv?room=ROOM[key=K][prefix=P][after=K][limit=N]   [inspect.KV]
//	PUT    /v1/kv?room=ROOM&key=K           writes the body, which is JSON
//	DELETE /v1/kv?room=ROOM&key=K
//	POST   /v1/sql?room=ROOM[limit=N]       runs the body, which cannot write; inspect.Rows
//	POST   /v1/exec?room=ROOM               runs the body, which may write; inspect.Rows
//	POST   /v1/hibernate?room=ROOM[force=1]
//	POST   /v1/evict?room=ROOM
//	POST   /v1/abort?room=ROOM
//	POST   /v1/reset?room=ROOM              deletes the room's storage too
//	POST   /v1/fire?room=ROOM               runs the alarm's handler
//	PUT    /v1/alarm?room=ROOM&at=TIME
//	DELETE /v1/alarm?room=ROOM
//	POST   /v1/send?room=ROOM[connection=ID][binary=1]           the body, to one or all; Count
//	POST   /v1/cut?room=ROOM[connection=ID]                      Count
//	POST   /v1/delay?room=ROOM&by=DURATION[connection=ID]        Count
//	POST   /v1/failcommit?room=ROOM         the room's next commit fails
//	GET    /v1/clock                        Clock
//	POST   /v1/clock?by=DURATION            moves it; Clock
//	POST   /v1/reload                       builds and swaps; answers when it is done
//	POST   /v1/crash                        ends the process of the running code
//
// What has nothing to tell answers 204. An error is {"error": TEXT, "kind": KIND}
// with status 404 and kind no_room, 400 and kind usage, or 409 and kind refused.
//
// A line of /v1/events is an event as in [inspect.Marshal]. It begins with the
// past events that were asked for (some 2000 are kept), and goes on with what
// happens until the caller hangs up, unless follow is 0. With logs=1 it is only
// what the server wrote and logged. With payload=N events show N bytes of each
// message, for all who read them, instead of 1024. Two more types occur:
// {"type":"lost","events":N} where the caller read too slowly, having more than
// limit events unread, and, as the first line where it was asked for,
// {"type":"snapshot","snapshot":{...}}, taken together with the events behind
// it: those whose seq is not greater than the snapshot's are in it already.
package control
