// One's own hand on a board: makes operations with the next counter and clock, and knows what can be undone and redone.
// All of it is found again in one's own log, so that a page that is loaded anew can undo what it drew before.
import { BOARD_ACTION_MAX, BOARD_CLOCK_AHEAD_US, BOARD_COUNTER_MAX } from "./limits.js";
import { draws, REDO, TITLE, touches, UNDO } from "./ops.js";

const wallClock = () => Date.now() * 1000;

export class Author {
  /** @counter: the highest that may have been used, where that is known from elsewhere (operations that were not acknowledged). */
  constructor(board, writer, { now = wallClock, counter = 0 } = {}) {
    this.board = board;
    this.hex = writer;
    this.now = now;
    this.counter = counter;
    this.done = []; // [first, last] of each action that can be undone, the newest last
    this.gone = []; // and of those that can be redone
    const own = board.writers.get(writer);
    if (own) for (const op of [...own.ops.values()].sort((a, b) => a.counter - b.counter)) this.recall(op);
  }

  recall(op) {
    this.counter = Math.max(this.counter, op.counter);
    if (op.kind === UNDO || op.kind === REDO) {
      const [from, to] = op.kind === UNDO ? [this.done, this.gone] : [this.gone, this.done];
      const at = from.findLastIndex((action) => action[0] === op.from);
      if (at >= 0) to.push(...from.splice(at, 1));
    } else if (draws(op.kind) || touches(op.kind) || op.kind === TITLE) {
      const last = this.done[this.done.length - 1];
      if (op.joined && last && last[1] === op.counter - 1 && op.counter - last[0] < BOARD_ACTION_MAX) last[1] = op.counter;
      else this.done.push([op.counter, op.counter]);
      this.gone = [];
    }
  }

  /** The next operation, which is applied to the board already: {op, changed}. */
  make(kind, fields, joined = false) {
    if (this.counter >= BOARD_COUNTER_MAX) throw new Error(`this writer has made ${BOARD_COUNTER_MAX} operations on this board, which is all one can make; open the board in a new tab`);
    const now = this.now();
    const clock = Math.max(now, Math.min(this.board.clock, now + BOARD_CLOCK_AHEAD_US) + 1);
    const op = { writer: this.hex, counter: this.counter + 1, clock, kind, joined, ...fields };
    this.recall(op);
    return { op, changed: this.board.apply(op) };
  }

  get canUndo() {
    return this.done.length > 0;
  }
  get canRedo() {
    return this.gone.length > 0;
  }

  undo() {
    const action = this.done[this.done.length - 1];
    return action && this.make(UNDO, { from: action[0], n: action[1] - action[0] + 1 });
  }
  redo() {
    const action = this.gone[this.gone.length - 1];
    return action && this.make(REDO, { from: action[0], n: action[1] - action[0] + 1 });
  }
}
