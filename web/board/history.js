// The board at other times: all operations up to a moment, in the order of the board. Forwards they are added one by one, backwards
// it begins anew: 5,000 operations take some 20 ms.
import { Board } from "./merge.js";

export class History {
  constructor(wb) {
    this.wb = wb;
    this.ops = wb.session.board.ops();
    this.at = this.ops.length;
    this.board = new Board();
    this.board.applyAll(this.ops);
    wb.stage.show(this.board);
  }
  get length() {
    return this.ops.length;
  }
  /** When the operation before position @at was made, in milliseconds since 1970. */
  timeAt(at) {
    return at > 0 ? this.ops[at - 1].clock / 1000 : null;
  }

  go(at) {
    const to = Math.max(0, Math.min(this.ops.length, at));
    if (to >= this.at) {
      const changed = this.board.applyAll(this.ops.slice(this.at, to));
      this.at = to;
      this.wb.stage.update(changed);
      return;
    }
    this.board = new Board();
    this.board.applyAll(this.ops.slice(0, to));
    this.at = to;
    this.wb.stage.show(this.board);
  }

  play(tick) {
    if (this.at >= this.length) this.go(0);
    const began = performance.now(), from = this.at;
    // the whole in at most 20 seconds, and not faster than ten a second
    const perMs = Math.max(10, this.length / 20) / 1000;
    this.playing = setInterval(() => {
      this.go(from + Math.ceil((performance.now() - began) * perMs));
      if (this.at >= this.length) this.pause();
      tick();
    }, 50);
  }
  pause() {
    clearInterval(this.playing);
    this.playing = null;
  }
  close() {
    this.pause();
  }
}
