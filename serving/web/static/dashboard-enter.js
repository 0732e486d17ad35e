// Takes the token of a playground's link out of the address, so that no history keeps it, and exchanges it for the cookie.
"use strict";

const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const form = document.getElementById("enter");
if (token) {
  form.elements.token.value = token;
  form.submit();
} else {
  document.getElementById("said").textContent = "This link is not complete: copy all of it.";
}
