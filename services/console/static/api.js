// The page of the API: Swagger UI over our own document.
window.addEventListener("load", () => {
  const place = document.getElementById("api");
  SwaggerUIBundle({ url: place.dataset.document, domNode: place, deepLinking: true, docExpansion: "list", validatorUrl: null });
});
