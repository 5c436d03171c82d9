// The front end of labelling.py: it draws what the model says, and sends clicks and keys back.

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", Backspace: "undo" };
const BUTTONS = [
  ["left", "← left is better"],
  ["tie", "↓ no difference"],
  ["right", "right is better →"],
  ["undo", "⌫ undo"],
];

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const root = element("div", "labelling", el);
  root.tabIndex = 0; // so that it hears keys
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Which reply is better? Arrow keys choose, backspace takes back.");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves its keys to us

  const prompt = element("div", "labelling-prompt", root);
  prompt.setAttribute("aria-live", "polite");
  const replies = element("div", "labelling-replies", root);
  const cards = {};
  for (const side of ["left", "right"]) {
    cards[side] = element("button", `labelling-card labelling-card-${side}`, replies);
    cards[side].onclick = () => choose(side);
  }
  const buttons = {};
  const row = element("div", "labelling-buttons", root);
  for (const [choice, text] of BUTTONS) {
    buttons[choice] = element("button", `labelling-${choice}`, row);
    buttons[choice].textContent = text;
    buttons[choice].onclick = () => choose(choice);
  }
  const progress = element("progress", "labelling-progress", root);
  const count = element("span", "labelling-count", root);
  const message = element("div", "labelling-message", root);
  message.setAttribute("role", "status");

  function choose(choice) {
    model.send({ choice, shown: model.get("done") }); // a second click on a pair that is gone does not count
    root.focus({ preventScroll: true });
  }

  root.addEventListener("keydown", (event) => {
    const choice = KEYS[event.key];
    if (choice && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      choose(choice);
    }
  });

  function draw() {
    const [done, total] = [model.get("done"), model.get("total")];
    const finished = done >= total;
    prompt.textContent = finished ? "All pairs are labelled. Thank you!" : model.get("prompt");
    replies.hidden = finished;
    for (const side of ["left", "right"]) cards[side].textContent = model.get(side);
    for (const choice of ["left", "right", "tie"]) buttons[choice].disabled = finished;
    buttons.undo.disabled = done === 0;
    progress.max = total;
    progress.value = done;
    count.textContent = `${done} of ${total}`;
    message.textContent = model.get("message");
  }

  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
