//go:build race

package main

// raceEnabled: the tool that the tests run is built with the race detector too.
const raceEnabled = true
