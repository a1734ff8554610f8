// A picture to brush over, as Gradio's `js_on_load`: `element`, `props` and `trigger` are its own, WORDS and SIDE ours.
// The value is {picture, mask}, two data URLs, the mask null where nothing is brushed; null without a picture.
const language = (navigator.languages || []).map((name) => name.split("-")[0]).find((name) => name in WORDS) || "en";
const say = (key) => WORDS[language][key];
element.innerHTML = `
  <label class="pick"><span></span><input type="file" accept="image/*"></label>
  <p role="alert" hidden></p>
  <div class="board" hidden>
    <canvas tabindex="0" role="img"></canvas>
    <label class="width"><span></span><input type="range" min="1" max="20" value="5"></label>
    <div class="tools"><button type="button"></button><button type="button"></button><button type="button"></button></div>
  </div>`;
const find = (selector) => element.querySelector(selector);
const [file, alarm, board, canvas, width] = ["[type=file]", "p", ".board", "canvas", "[type=range]"].map(find);
const [undo, clear, remove] = element.querySelectorAll("button");
find(".pick span").textContent = say("upload_example");
find(".width span").textContent = say("brush_width");
canvas.setAttribute("aria-label", say("brush_here"));
[undo, clear, remove].forEach((button, n) => (button.textContent = say(["undo", "clear", "remove"][n])));

const pen = canvas.getContext("2d"), layer = document.createElement("canvas"), brush = layer.getContext("2d");
const thickness = () => (width.value / 100) * Math.max(canvas.width, canvas.height);
let picture = null, strokes = [], drawing = null, cursor = null;

function draw() {
  pen.drawImage(picture, 0, 0);
  brush.clearRect(0, 0, layer.width, layer.height);
  Object.assign(brush, { lineCap: "round", lineJoin: "round", strokeStyle: "#ff2d78" });
  for (const { size, points } of strokes) {
    brush.lineWidth = size;
    brush.beginPath();
    brush.moveTo(...points[0]);
    points.forEach((point) => brush.lineTo(...point));
    brush.stroke();
  }
  pen.globalAlpha = 0.65;
  pen.drawImage(layer, 0, 0);
  pen.globalAlpha = 1;
  if (cursor) {
    Object.assign(pen, { lineWidth: 2, strokeStyle: "#fff" });
    pen.beginPath();
    pen.arc(...cursor, thickness() / 2, 0, 7);
    pen.stroke();
  }
  undo.disabled = clear.disabled = !strokes.length;
}

function tell() {
  if (picture) draw();
  props.value = picture && {
    picture: picture.toDataURL("image/jpeg", 0.92),
    mask: strokes.length ? layer.toDataURL("image/png") : null,
  };
  trigger("change");
}

function show(shown) {
  board.hidden = !shown;
  strokes = [];
  cursor = drawing = null;
  tell();
}

file.addEventListener("change", async () => {
  const [given] = file.files;
  file.value = "";  // so that the same file can be chosen again
  if (!given) return;
  try {
    const found = await createImageBitmap(given), scale = Math.min(1, SIDE / Math.max(found.width, found.height));
    picture = document.createElement("canvas");
    for (const one of [picture, canvas, layer]) {
      one.width = Math.max(1, Math.round(found.width * scale));
      one.height = Math.max(1, Math.round(found.height * scale));
    }
    const ground = picture.getContext("2d");
    ground.fillStyle = "#fff";
    ground.fillRect(0, 0, picture.width, picture.height);
    ground.imageSmoothingQuality = "high";
    ground.drawImage(found, 0, 0, picture.width, picture.height);
    alarm.hidden = true;
    show(true);
  } catch {
    alarm.textContent = say("no_picture");
    alarm.hidden = false;
  }
});

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * canvas.width) / box.width,
    ((event.clientY - box.top) * canvas.height) / box.height,
  ];
}
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drawing = { size: thickness(), points: [place(event)] };
  strokes.push(drawing);
  cursor = null;
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drawing) return;
  drawing.points.push(place(event));
  draw();
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    if (drawing) tell();
    drawing = null;
  });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  const [dx, dy] = ARROWS[event.key] || [0, 0], limits = [canvas.width, canvas.height];
  if (!(event.key in ARROWS) && event.key !== " ") return;
  event.preventDefault();
  cursor ||= limits.map((side) => side / 2);
  const step = event.shiftKey ? 40 : 8;
  cursor = cursor.map((at, n) => Math.min(limits[n], Math.max(0, at + [dx, dy][n] * step)));
  if (event.key !== " ") return draw();
  strokes.push({ size: thickness(), points: [cursor] });
  tell();
});
undo.addEventListener("click", () => (strokes.pop(), tell()));
clear.addEventListener("click", () => ((strokes = []), tell()));
remove.addEventListener("click", () => ((picture = null), show(false), file.focus()));
