//go:build !partyplugin && !js

package party

// badGuests are programs that break the protocol, by the name of their app.
var badGuests = map[string]func(){}

func emulatorMain() {}
