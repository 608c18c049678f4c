"use strict";
// The example page: one canvas, and a few words about it.
const byId = (id) => document.getElementById(id);
const topic = new URLSearchParams(location.search).get("topic") || "jpeg.face";
const TEXT_EVERY_MS = 250; // figures that change sixty times a second cannot be read
let times = [], textAt = -Infinity, face = null;

for (const link of document.querySelectorAll("nav a")) {
  if (link.search === "?topic=" + topic) link.setAttribute("aria-current", "page");
}

new UnvisorStream({
  canvas: byId("picture"),
  topic,
  onFrame(frame) {
    const now = performance.now();
    times = [...times.slice(-40), now];
    byId("picture").dataset.index = frame.index;
    if (now - textAt < TEXT_EVERY_MS) return;
    textAt = now;
    byId("age").textContent = frame.age_ms.toFixed(0) + " ms";
    const span = now - times[0];
    byId("rate").textContent = span > 0 ? ((times.length - 1) * 1000 / span).toFixed(1) + " fps" : "–";
    byId("frame").textContent = frame.index;
    byId("says").textContent = frame.status.join(", ") || "–";
    byId("filler").textContent = frame.synthesised ? frame.filler : "the camera alone";
    byId("openness").textContent = face ? face.openness.map((one) => Math.round(100 * one) + " %").join(" · ") : "–";
  },
  onFace(state) { face = state; },
  onStatus(text, state) {
    // Told with every picture, but written only when it changes: a screen reader would say it again.
    if (byId("status").textContent !== text) byId("status").textContent = text;
    byId("status").className = state;
    byId("figure").classList.toggle("is-old", state !== "receiving");
    if (state === "receiving") return;
    times = [];
    for (const id of ["age", "rate"]) byId(id).textContent = "–"; // those of an old picture would mislead
  },
});
