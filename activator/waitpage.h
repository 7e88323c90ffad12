/* waitpage - the page that a browser may get at once while a service starts: who gets
 * it, and its text.  The page asks again in the background, with a request that is
 * parked like any other (it is no navigation), and loads the real page the moment that
 * this is answered; without scripts it reloads after retry_s.  If that takes long it fetches
 * itself beside it (`x-activator-page`), for what there is to say by then.
 * Pure.  Thread: any. */
#ifndef ACTIVATOR_WAITPAGE_H
#define ACTIVATOR_WAITPAGE_H

#include "common/base.h"

struct strbuf;

/* A person's navigation: GET with `sec-fetch-mode: navigate`, or from a browser that does
 * not send that, GET that asks for HTML at least as gladly as for JSON; or the page's own
 * GET.  Never a prefetch, another script's fetch, or a program that takes anything.
 * field: the value of a field by its lower-case name, or NULL. */
bool waitpage_is_wanted(const char *method, size_t method_n,
			const char *(*field)(void *ctx, const char *name, size_t *n), void *ctx);

struct waitpage_view {
	const char *service;
	const char *host; /* what the client asked for; need not be NUL-terminated */
	size_t host_n;
	int64_t expected_ms;   /* what a cold start takes; 0: unknown */
	int64_t elapsed_ms;    /* since this one began */
	uint32_t retry_s;      /* as in Retry-After; at least 1 */
	const char *held_back; /* why it may not be started now; NULL: it may */
};

/* Append the page.  In the template {{service}}, {{host}}, {{expected_ms}},
 * {{elapsed_ms}}, {{expected}} (words: what is to be expected; "" if unknown), {{held_back}}
 * ("" if it is not) and {{retry_s}} are filled in, escaped for HTML; anything else stands as
 * it is. */
void waitpage_render(struct strbuf *out, const char *template, const struct waitpage_view *);

/* Response fields that belong to it, beside Retry-After: each line with its CRLF. */
extern const char waitpage_fields[];
/* The template of `waiting_page = "default"`. */
extern const char waitpage_default[];

#endif
