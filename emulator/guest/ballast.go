//go:build !js

package guest

// ballast is never touched, so it takes no memory. The garbage collector counts
// it, and so runs every 32 MB instead of every 4 while there is little else.
// (In WebAssembly memory counts whether it was touched or not.)
var ballast = make([]byte, 16<<20)
