// Package workers is the other emulator: it lets a guest run on Cloudflare's
// engine. The guest speaks the same wire as everywhere; what it asks for is
// translated into what the engine offers to one Durable Object, a room, or to
// the entry worker, where App.Handler runs.
//
// A room is one run of the whole program, compiled to WebAssembly, so there is
// one instance in it and one thread. JavaScript (watch/bundle/shim) starts the
// program and hands the engine's events over; the package calls back for what
// only JavaScript can do. Whatever the engine answers at once is answered
// before the operation returns, so that a turn that waits for nothing else is
// one commit of the engine.
package workers
