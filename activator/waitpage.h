/* waitpage - the page that a browser gets at once while a service starts: which requests get
 * it, and its text.
 *
 * The page sends a request in the background.  That is no navigation, so it is parked like any
 * other, and when it is answered the page loads the real one.  Without scripts the page reloads
 * after retry_s.  If the start takes long, the page also fetches itself with the field
 * x-activator-page, to show what has become known by then.
 * Pure.  Thread: any. */
#ifndef ACTIVATOR_WAITPAGE_H
#define ACTIVATOR_WAITPAGE_H

#include "common/base.h"

struct strbuf;

/* True for a GET by which a person navigates: it has `sec-fetch-mode: navigate`, or no such
 * field and an Accept that prefers HTML to JSON or likes both the same; and for the page's own
 * GET.  False for a prefetch, a fetch of another script, and a program that accepts anything.
 * field: returns the value of a field, by its name in lower case, or NULL. */
bool waitpage_is_wanted(const char *method, size_t method_n,
			const char *(*field)(void *ctx, const char *name, size_t *n), void *ctx);

struct waitpage_view {
	const char *service;
	const char *host; /* that the client asked for; need not be NUL-terminated */
	size_t host_n;
	int64_t expected_ms;   /* that a cold start takes; 0: unknown */
	int64_t elapsed_ms;    /* since this cold start began */
	uint32_t retry_s;      /* the value of Retry-After; at least 1 */
	const char *held_back; /* why there is no room to start it now; NULL: there is */
};

/* Append the page.  In the template, {{service}}, {{host}}, {{expected_ms}}, {{elapsed_ms}},
 * {{expected}} (a sentence; "" if unknown), {{held_back}} ("" if it is not) and {{retry_s}} are
 * replaced by their values, escaped for HTML; all else is copied. */
void waitpage_render(struct strbuf *out, const char *template, const struct waitpage_view *);

/* The fields of its response but Retry-After, each line with its CRLF. */
extern const char waitpage_fields[];
/* The template of `waiting_page = "default"`. */
extern const char waitpage_default[];

#endif
