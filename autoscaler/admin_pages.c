#include "autoscaler/admin_pages.h"

#include <stdlib.h>

#include "autoscaler/explain.h"
#include "autoscaler/services.h"
#include "autoscaler/status.h"
#include "autoscaler/status_feed.h"
#include "autoscaler/usage/ledger.h"
#include "common/admin.h"
#include "common/settings.h"

struct admin_pages {
	struct facts (*facts)(void *arg);
	void *arg;
	struct status_feed *feed;
};

static void
on_status(struct admin_request *req, void *arg)
{
	const struct admin_pages *p = arg;
	const struct facts f = p->facts(p->arg);

	status_answer(req, &f);
}

static void
on_why(struct admin_request *req, void *arg)
{
	const struct admin_pages *p = arg;
	const struct facts f = p->facts(p->arg);

	explain_answer(req, &f);
}

static void
on_usage(struct admin_request *req, void *arg)
{
	const struct admin_pages *p = arg;
	const struct facts f = p->facts(p->arg);

	ledger_answer(f.ledger, req, services_settings(f.services)->autoscaler.instance_hour_price);
}

struct admin_pages *
admin_pages_new(struct loop *loop, struct admin *admin, struct facts (*facts)(void *arg), void *arg)
{
	struct admin_pages *p = xcalloc(1, sizeof *p);

	p->facts = facts;
	p->arg = arg;
	admin_add_page(admin, "/status", on_status, p);
	admin_add_page(admin, "/why", on_why, p);
	admin_add_page(admin, "/usage", on_usage, p);
	admin_page_params(admin, "/status", status_params);
	admin_page_params(admin, "/why", explain_params);
	admin_page_params(admin, "/usage", ledger_params);
	p->feed = status_feed_new(loop, facts, arg);
	status_feed_add_pages(p->feed, admin);
	return p;
}

void
admin_pages_free(struct admin_pages **pp)
{
	struct admin_pages *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	status_feed_free(&p->feed);
	free(p);
}

struct status_feed *
admin_pages_feed(struct admin_pages *p)
{
	return p->feed;
}
