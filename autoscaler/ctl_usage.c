#include "autoscaler/ctl_usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "autoscaler/usage/ledger.h"
#include "common/clk.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

#define LINES_MAX ((size_t)16 << 20) /* bytes of an answer */
#define SINCE_S_MAX (100 * 366 * 86400U)

static void
on_usage(const char *why, const struct strbuf *lines, void *arg)
{
	struct ctl_request *r = arg;
	const char *at, *end, *newline;

	if (why != NULL) {
		ctl_done(r, CTL_FAILED, NULL, "%.*s", (int)strcspn(why, "\n"), why);
		return;
	}
	if (lines->len > LINES_MAX) {
		ctl_done(r, CTL_FAILED, "ask for a shorter time, or by day or month",
			 "the answer is too long");
		return;
	}
	at = strbuf_str(lines);
	end = at + lines->len;
	while (at != end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		ctl_send_line(r, at, (size_t)(newline - at));
		at = newline + 1;
	}
	ctl_done(r, CTL_OK, NULL, "%s", "");
}

void
ctl_usage_begin(struct ctl_request *r, const struct facts *f)
{
	const char *since = ctl_option(r, "since_s", 0);
	struct ledger_ask ask = {
		.from = ctl_option(r, "from", 0),
		.to = ctl_option(r, "to", 0),
		.by = ctl_option(r, "by", 0),
		.price = services_settings(f->services)->autoscaler.instance_hour_price,
		.done = on_usage,
		.arg = r};
	struct err e = {0};
	char from[32];
	uint32_t s;

	if (since != NULL && ask.from != NULL) {
		ctl_done(r, CTL_USAGE, NULL, "expected either --since or --from");
		return;
	}
	if (since != NULL && !text_number(since, strlen(since), SINCE_S_MAX, &s)) {
		ctl_done(r, CTL_USAGE, NULL, "since_s: expected seconds, got \"%s\"", since);
		return;
	}
	if (since != NULL) {
		snprintf(from, sizeof from, "%lld", (long long)MAX(clk_wall() / CLK_S - s, 0));
		ask.from = from;
	}
	if (ledger_ask(f->ledger, &ask, &e) < 0)
		ctl_done(r, CTL_USAGE, NULL, "%s", e.text);
}

bool
ctl_usage_gone(const struct ctl_request *r, const struct facts *f)
{
	return ledger_forget(f->ledger, r);
}
