// A click on a picture shows it in full size.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".st-picture");
  if (!button) return;
  const dialog = document.createElement("dialog");
  dialog.className = "st-full";
  const image = document.createElement("img");
  image.src = button.querySelector("img").src;
  image.alt = button.dataset.caption;
  image.onload = () => image.classList.toggle("st-small", image.naturalWidth <= 256);
  const caption = document.createElement("p");
  caption.textContent = button.dataset.caption;
  dialog.append(image, caption);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
// On a small screen the pictures lie below the settings.
document.addEventListener("click", (event) => {
  if (event.target.closest("#draw") && window.innerWidth < 720)
    document.getElementById("status").scrollIntoView({ behavior: "smooth", block: "start" });
});
