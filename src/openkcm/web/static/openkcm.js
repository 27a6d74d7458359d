/* What pages do better with a script; every page works without it. No inline handlers: the policy forbids them. */
(() => {
  "use strict";

  const toast = document.createElement("div");
  toast.className = "toast";
  toast.setAttribute("role", "status");
  document.body.append(toast);
  let timer = 0;
  const say = (words) => {
    toast.textContent = words;
    clearTimeout(timer);
    timer = setTimeout(() => { toast.textContent = ""; }, 6000);
  };

  // Buttons that need the script are hidden until it is here.
  const reveal = (root) => root.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent);
      say("Copied.");
    } catch {
      // No clipboard over plain HTTP from another host: the text is selected instead.
      select(text);
      say("Selected. Copy it with your keyboard.");
    }
  });

  reveal(document);
  document.addEventListener("htmx:load", (event) => reveal(event.detail.elt));

  // An error that we wrote names its own place; anything else (a proxy's page) is not put into ours.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, isError } = event.detail;
    if (!isError) return;
    if (xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
    else say("That did not work. Open the page again.");
  });
  document.addEventListener("htmx:sendError", () => say("No connection to OpenKCM. Try again in a moment."));

  // What a person asked for gets the focus, so that keyboard and screen reader are where the answer is.
  document.addEventListener("htmx:afterSettle", (event) => {
    event.target.querySelector?.("[data-focus]")?.focus();
  });
})();
