"""`maskst studio`: a page in the browser that draws and compares; its pure part needs no Gradio."""
