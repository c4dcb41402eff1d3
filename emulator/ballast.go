package emulator

// ballast is never touched, so it takes no memory. The garbage collector counts
// it, and so runs every 64 MB instead of every 4 while there is little else:
// under load that is a tenth to a fifth of all processor time.
var ballast = make([]byte, 32<<20)
