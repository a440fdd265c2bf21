/* Shows how far an upload is. Without this file the form posts as any other. */
"use strict";

document.addEventListener("htmx:xhr:progress", (event) => {
  const form = event.target.closest("[data-upload]");
  const { loaded, total, lengthComputable } = event.detail;
  if (!form || !lengthComputable) return;
  const bar = form.querySelector("progress");
  const text = form.querySelector("[data-sending]");
  bar.hidden = false;
  bar.value = loaded / total;
  text.textContent = loaded < total
    ? `${text.dataset.sending} ${Math.floor((100 * loaded) / total)} %`
    : text.dataset.reading;
});
