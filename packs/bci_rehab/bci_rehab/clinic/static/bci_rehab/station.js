/* The page's channel to the station: opened with a ticket, renewed, and opened again when lost.
   Nothing of a session is kept here; what the page shows comes from the stream alone. */

const RENEW_MS = 8 * 60 * 1000;
const SILENT_MS = 4000;
const WAITS_MS = [250, 500, 1000, 2000, 4000];
const STOPPED = 4503;

export class Station {
  /* onMessage(message), onState(state, seconds): connecting, open, stalled, lost, refused, stopped. */
  constructor(place, { onMessage, onState }) {
    this.place = place;
    this.onMessage = onMessage;
    this.onState = onState;
    this.failures = 0;
    this.urgent = [];
    this.heardAt = 0;
    setInterval(() => this.look(), 1000);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => this.hurry());
    this.connect();
  }

  get isOpen() { return this.socket?.readyState === WebSocket.OPEN && this.heardAt > 0; }

  /* Whether it went out. What is urgent is sent as soon as there is a channel again. */
  send(message, { urgent = false } = {}) {
    if (this.isOpen) {
      this.socket.send(JSON.stringify(message));
      return true;
    }
    if (urgent) this.urgent = [message];
    return false;
  }

  async connect() {
    this.waiting = undefined;
    this.onState("connecting");
    const given = await this.ticket();
    if (!given) return this.again("refused");
    this.heardAt = 0;
    const socket = new WebSocket(given.address);
    this.socket = socket;
    socket.addEventListener("open", () => socket.send(given.ticket));
    socket.addEventListener("message", (event) => this.hear(socket, JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (socket === this.socket) this.again(event.code === STOPPED ? "stopped" : "lost");
    });
  }

  /* Another page has taken this one's place: it is not to come back by itself. */
  leave() {
    clearTimeout(this.renewal);
    const socket = this.socket;
    this.socket = undefined;
    this.heardAt = 0;
    socket?.close();
  }

  hear(socket, message) {
    if (socket !== this.socket) return;
    if (!this.heardAt) {
      this.failures = 0;
      this.renewal = setTimeout(() => this.renew(), RENEW_MS);
      this.onState("open");
    }
    this.heardAt = performance.now();
    for (const waiting of this.urgent.splice(0)) this.send(waiting);
    this.onMessage(message);
  }

  again(state) {
    clearTimeout(this.renewal);
    this.heardAt = 0;
    this.onState(state);
    const wait = WAITS_MS[Math.min(this.failures, WAITS_MS.length - 1)];
    this.failures += 1;
    this.waiting ??= setTimeout(() => this.connect(), wait);
  }

  /* Somebody came back to the page, or the network did: no need to wait longer. */
  hurry() {
    if (document.hidden || this.waiting === undefined) return;
    clearTimeout(this.waiting);
    this.connect();
  }

  async renew() {
    const given = await this.ticket();
    if (given) this.send({ ticket: given.ticket });
    this.renewal = setTimeout(() => this.renew(), given ? RENEW_MS : WAITS_MS.at(-1));
  }

  async ticket() {
    const { ticket, csrf, role } = this.place.dataset;
    try {
      const answer = await fetch(ticket, {
        method: "POST",
        headers: { "X-CSRFToken": csrf, Accept: "application/json" },
        body: new URLSearchParams({ role }),
        redirect: "error",
      });
      return answer.ok ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  }

  look() {
    if (!this.isOpen) return;
    const silent = performance.now() - this.heardAt;
    if (silent > SILENT_MS) this.onState("stalled", Math.round(silent / 1000));
  }
}
