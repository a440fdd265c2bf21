/* Conveniences. Every page works without this file. */
"use strict";

/* Copy buttons: hidden in the markup, because without a script they would do nothing. */
function textToCopy(button) {
  if (button.dataset.copy) return button.dataset.copy;
  const neighbour = "copyBefore" in button.dataset
    ? button.previousElementSibling
    : button.closest(".hh-json").querySelector("pre");
  return neighbour.textContent.trim();
}

function revealCopyButtons(root) {
  root.querySelectorAll(".hh-copy[hidden]").forEach((button) => { button.hidden = false; });
}

async function copy(button) {
  await navigator.clipboard.writeText(textToCopy(button));
  const label = button.getAttribute("aria-label");
  button.classList.add("hh-copied");
  button.setAttribute("aria-label", document.body.dataset.copied);
  setTimeout(() => {
    button.classList.remove("hh-copied");
    button.setAttribute("aria-label", label);
  }, 1500);
}

/* A log follows its end unless somebody scrolled up to read. */
const END_PIXELS = 24;
const isAtEnd = (panel) => panel.scrollHeight - panel.scrollTop - panel.clientHeight < END_PIXELS;
const toEnd = (panel) => { panel.scrollTop = panel.scrollHeight; };

function showAlert(text) {
  const alert = document.createElement("p");
  alert.className = "hh-alert hh-tone-bad";
  alert.setAttribute("role", "alert");
  alert.textContent = text;
  document.getElementById("messages")?.replaceChildren(alert);
}

document.addEventListener("DOMContentLoaded", () => {
  if (navigator.clipboard) revealCopyButtons(document);
  document.querySelectorAll("[data-follow]").forEach(toEnd);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest(".hh-copy");
  if (button) copy(button);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (target.matches("[data-follow]")) target.dataset.wasAtEnd = String(isAtEnd(target));
  /* Our error alerts name their own target; any other failing response leaves the page as it is. */
  if (xhr.status >= 400) event.detail.shouldSwap = Boolean(xhr.getResponseHeader("HX-Retarget"));
});

document.addEventListener("htmx:afterSwap", (event) => {
  const target = event.detail.target;
  if (navigator.clipboard) revealCopyButtons(target);
  if (target.matches("[data-follow]") && target.dataset.wasAtEnd === "true") toEnd(target);
});

document.addEventListener("htmx:sendError", () => showAlert(document.body.dataset.unreachable));
document.addEventListener("htmx:responseError", (event) => {
  if (!event.detail.xhr.getResponseHeader("HX-Retarget")) {
    showAlert(document.body.dataset.failed);
  }
});
