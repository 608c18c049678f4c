"use strict";
// The browser client: connects to `unvisor bridge`, draws the newest picture, says how old it is, and reconnects by itself.
//
//   const stream = new UnvisorStream({ canvas, onFrame: (frame) => …, onFace: (face) => …, onStatus: (text, state) => … });
//   stream.close();
//
// frame: { index, age_ms, width, height, status: ["LIVE"], filler, synthesised, topic, timestamp }
// face:  { landmarks, gaze, openness, frame_from_crop, status, … } as in docs/WIRE.md, flat lists
// state: "connecting" | "waiting" | "receiving" | "paused" | "unreadable"
class UnvisorStream {
  static RETRY_MS = [250, 500, 1000, 2000];
  static SILENCE_MS = 3000; // the bridge answers every second, picture or not

  constructor({ canvas, url, topic = "jpeg.face", onFrame, onFace, onStatus }) {
    const here = location.protocol === "https:" ? "wss://" : "ws://";
    this.url = (url || here + location.host + "/stream") + "?topic=" + encodeURIComponent(topic);
    this.canvas = canvas;
    this.onFrame = onFrame || (() => {});
    this.onFace = onFace || (() => {});
    this.onStatus = onStatus || (() => {});
    this.attempt = 0;
    this.lastFrameAt = -Infinity;
    this.closed = false;
    this.wake = () => { if (!document.hidden) this.ask(); };
    document.addEventListener("visibilitychange", this.wake);
    this.connect();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.wake);
    clearTimeout(this.timer);
    this.socket.close();
  }

  connect() {
    if (this.attempt === 0) this.onStatus("Connecting…", "connecting");
    const socket = this.socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.asked = false;
    socket.onopen = () => { this.attempt = 0; this.ask(); };
    socket.onmessage = (event) => this.receive(socket, event.data);
    socket.onclose = () => {
      if (this.closed || socket !== this.socket) return;
      const retry = UnvisorStream.RETRY_MS;
      const wait = retry[Math.min(this.attempt++, retry.length - 1)];
      this.onStatus("Not connected. Is `unvisor bridge` running?", "connecting");
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.connect(), wait);
    };
  }

  // One picture is under way at a time, asked for when the last one was drawn: a slow page drops, and never lags.
  // A page that nobody sees asks for none.
  ask() {
    if (this.asked || document.hidden || this.socket.readyState !== WebSocket.OPEN) return;
    this.asked = true;
    this.socket.send("next");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.socket.close(), UnvisorStream.SILENCE_MS);
  }

  async receive(socket, data) {
    clearTimeout(this.timer);
    try {
      const length = new DataView(data).getUint32(0);
      const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      if (facts.face) this.onFace(facts.face);
      if (facts.frame) await this.draw(facts.frame, new Uint8Array(data, 4 + length));
      this.tell(facts);
    } catch (error) {
      this.onStatus("A picture could not be read: " + error.message, "unreadable");
    }
    if (socket !== this.socket) return;
    this.asked = false;
    this.ask();
  }

  async draw(frame, jpeg) {
    const arrivedAt = performance.now();
    const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.canvas) {
      if (this.canvas.width !== image.width) this.canvas.width = image.width;
      if (this.canvas.height !== image.height) this.canvas.height = image.height;
      this.canvas.getContext("2d").drawImage(image, 0, 0);
    }
    image.close();
    this.lastFrameAt = performance.now();
    frame.age_ms += this.lastFrameAt - arrivedAt;
    this.onFrame(frame);
  }

  tell(facts) {
    if (facts.error) this.onStatus(facts.error, "unreadable");
    else if (facts.paused) this.onStatus("The wearer paused the stream.", "paused");
    else if (performance.now() - this.lastFrameAt < 1500) this.onStatus("Receiving.", "receiving");
    else this.onStatus("Connected, waiting for pictures. Is `unvisor run` running?", "waiting");
  }
}
