/** The API's reference: Swagger UI over /openapi.json, everything from this server. */

window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null, // it would send the document to a server elsewhere
});
