"""The demo in a browser: what it does with a photo, and the page around it. Only `page` and `server` know Gradio."""
