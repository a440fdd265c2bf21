/* The heartbeat: tells the station which message was drawn, and how long each frame took.
   A hidden page draws nothing, so that its heartbeat ceases and the actuator stops. */

const LEAST_OFTEN_MS = 80;
const MOST_KEPT = 100;

export class Frames {
  /* draw(now) puts the newest message on the screen and returns its number, or undefined. */
  constructor(station, draw) {
    Object.assign(this, { station, draw, times: [], sentAt: 0 });
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    if (this.before !== undefined) this.times.push(Math.round((now - this.before) * 10) / 10);
    if (this.times.length > MOST_KEPT) this.times.shift();
    this.before = now;
    const number = this.draw(now);
    if (number !== undefined && (number !== this.number || now - this.sentAt >= LEAST_OFTEN_MS)) {
      this.tell(number, now);
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  tell(number, now) {
    if (!this.station.send({ what: "drawn", number, frame_ms: this.times })) return;
    this.times = [];
    this.number = number;
    this.sentAt = now;
  }

  /* Time that the page was hidden is no frame. */
  forget() { this.before = undefined; }
}
