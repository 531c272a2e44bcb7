// Show the pairs of the atlas that have all the words.
const find = document.getElementById("atlas-find");
const plain = (text) => text.toLowerCase().replaceAll("-", " ");
const sections = [...document.querySelectorAll("h3[id]")].map((head) => {
  const parts = [head];
  const ends = (e) => /^(H[123]|SCRIPT)$/.test(e.tagName);
  for (let e = head.nextElementSibling; e && !ends(e); e = e.nextElementSibling) parts.push(e);
  return [parts, plain(head.id + " " + parts.map((p) => p.textContent).join(" "))];
});
find.addEventListener("input", () => {
  const words = plain(find.value).split(/\s+/);
  for (const [parts, text] of sections) {
    const hidden = !words.every((word) => text.includes(word));
    for (const part of parts) part.hidden = hidden;
  }
});
