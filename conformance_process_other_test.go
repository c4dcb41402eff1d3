//go:build !unix && !partyplugin && !js

package party

func beacon() {}

func emulatorMain() {}
