// What rooms and the program write, as lines for people, or, for a test, as JSON.

// tested is what a test proves itself with; undefined: there is none.
export const tested = env => env.PARTY_TEST || undefined;

export class Journal {
  #tested;
  #room;

  // room is the room's name at the time, or "".
  constructor(env, room) {
    this.#tested = tested(env);
    this.#room = room;
  }

  #write(to, line, text) {
    const room = this.#room();
    if (this.#tested) console.log(JSON.stringify({ [this.#tested]: { room, ...line } }));
    else to(room === "" ? text : `[${room}] ${text}`);
  }

  log(level, text) {
    const to = level >= 8 ? console.error : level >= 4 ? console.warn : level >= 0 ? console.log : console.debug;
    this.#write(to, { level, text }, text);
  }

  // exception is an error or panic of a hook.
  exception(hook, error, stack) {
    this.#write(console.error, { hook, error, stack }, `${hook}: ${error}${stack === "" ? "" : `\n${stack}`}`);
  }

  // output is what the program itself writes.
  output(text) { this.#write(console.error, { output: text }, text); }
}
