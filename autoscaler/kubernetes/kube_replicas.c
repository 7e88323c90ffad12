#include "autoscaler/kubernetes/kube_replicas.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"

#define SECOND INT64_C(1000000000)
#define OVERRULE_FIRST (1 * SECOND)
#define OVERRULE_MOST (900 * SECOND)
#define OVERRULE_CALM (1800 * SECOND) /* without another client's change: the back-off ends */
#define RETRY_FIRST (SECOND / 20)
#define RETRY_MOST (2 * SECOND)

static size_t
digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return s[n] == '\0' ? n : 0;
}

bool
kube_rv_is_older(const char *a, const char *b)
{
	size_t a_n = digits(a), b_n = digits(b);

	if (a_n == 0 || b_n == 0)
		return false;
	return a_n != b_n ? a_n < b_n : strcmp(a, b) < 0;
}

void
kube_replicas_init(struct kube_replicas *s, bool is_overruling)
{
	*s = (struct kube_replicas){.is_overruling = is_overruling};
	backoff_init(&s->overrule, OVERRULE_FIRST, OVERRULE_MOST);
	backoff_init(&s->retry, RETRY_FIRST, RETRY_MOST);
}

uint32_t
kube_replicas_current(const struct kube_replicas *s)
{
	return s->is_unconfirmed ? s->patched : s->observed;
}

void
kube_replicas_shown(struct kube_replicas *s)
{
	s->is_held_shown = s->is_held;
}

const char *
kube_replicas_author(const struct kube_replicas *s)
{
	return s->is_author_known && s->author.manager[0] != '\0' ? s->author.manager : NULL;
}

void
kube_replicas_want(struct kube_replicas *s, uint32_t n)
{
	bool is_wake = n > 0 && kube_replicas_current(s) == 0;

	s->wanted = n;
	s->has_wanted = true;
	/* Scaling to zero and from zero is ours, whatever another client has set in between.  Any
	 * other number is an answer to the other client's only if the reconciler knew that one. */
	if (n == 0 || is_wake || (s->is_held_shown && n != kube_replicas_current(s)))
		s->is_held = s->is_held_shown = false;
	if (is_wake)
		s->overrule_at_ns = 0;
}

/* The watch shows our last PATCH, or something newer. */
static bool
is_confirmed(const struct kube_replicas *s, uint32_t replicas, const char *rv)
{
	if (digits(rv) == 0 || digits(s->patched_rv) == 0)
		return strcmp(rv, s->patched_rv) == 0 || replicas == s->patched;
	return !kube_rv_is_older(rv, s->patched_rv);
}

static void
take_foreign(struct kube_replicas *s, int64_t now_ns, uint32_t random)
{
	if (!s->is_overruling) {
		s->is_held = true;
		s->is_held_shown = false;
		return;
	}
	if (s->overruled_at_ns != 0 && now_ns - s->overruled_at_ns > OVERRULE_CALM)
		backoff_reset(&s->overrule);
	s->overruled_at_ns = now_ns;
	s->overruled_n++;
	s->overruled = s->observed;
	s->overrule_at_ns = now_ns + backoff_next(&s->overrule, random);
}

static bool
is_ours(const struct kube_replicas *s)
{
	const char *author = kube_replicas_author(s);

	return author != NULL && strcmp(author, KUBE_FIELD_MANAGER) == 0;
}

/* Whether a number that differs from the one before comes from another client. */
static bool
is_foreign(struct kube_replicas *s, uint32_t before, int64_t now_ns, uint32_t random)
{
	if (s->observed == before || (s->is_patch_unsure && s->observed == s->asked))
		return false;
	if (is_ours(s)) {
		s->is_held = false;
		return false;
	}
	if (s->has_wanted && s->observed == s->wanted)
		return false; /* it is what is wanted */
	take_foreign(s, now_ns, random);
	return true;
}

/* An author that the object named before the number changed has not set this number, unless the
 * server records writes to the scale and the author has written twice within a second. */
static void
take_author(struct kube_replicas *s, uint32_t replicas, const struct kube_author *author)
{
	bool is_same = strcmp(author->manager, s->author.manager) == 0 &&
		       strcmp(author->time, s->author.time) == 0;

	if (!is_same || !s->exists)
		s->is_author_known = true;
	else if (replicas != s->observed)
		s->is_author_known = author->by_scale;
	s->author = *author;
}

bool
kube_replicas_observe(struct kube_replicas *s, uint32_t replicas, const char *rv,
		      const struct kube_author *author, int64_t now_ns, uint32_t random)
{
	uint32_t before = kube_replicas_current(s);
	bool is_first = !s->exists;

	if (s->exists && kube_rv_is_older(rv, s->observed_rv))
		return false; /* the watch was faster than this GET */
	take_author(s, replicas, author);
	s->exists = true;
	s->observed = replicas;
	snprintf(s->observed_rv, sizeof s->observed_rv, "%s", rv);
	if (s->is_unconfirmed && !is_confirmed(s, replicas, rv))
		return false;
	s->is_unconfirmed = false;
	/* While a PATCH is under way, only its answer says which of the two came first. */
	return !is_first && !s->is_patching && is_foreign(s, before, now_ns, random);
}

bool
kube_replicas_hold(struct kube_replicas *s)
{
	const char *author = kube_replicas_author(s);

	/* A number that a manifest sets is what the workload begins with: it is not held. */
	if (author == NULL || !s->author.by_scale || s->is_overruling || is_ours(s))
		return false;
	s->is_held = true;
	s->is_held_shown = false;
	return true;
}

void
kube_replicas_gone(struct kube_replicas *s)
{
	s->exists = s->is_unconfirmed = s->is_held = s->is_held_shown = false;
	s->observed = 0;
	s->observed_rv[0] = '\0';
}

void
kube_replicas_list_begin(struct kube_replicas *s)
{
	s->was_unconfirmed = s->is_unconfirmed;
	s->observed_rv[0] = '\0';
}

void
kube_replicas_list_end(struct kube_replicas *s)
{
	if (s->was_unconfirmed || digits(s->patched_rv) == 0)
		s->is_unconfirmed = false;
	s->was_unconfirmed = false;
}

bool
kube_replicas_due(const struct kube_replicas *s, int64_t now_ns, uint32_t *n, int64_t *wait_ns)
{
	int64_t at = MAX(s->overrule_at_ns, s->retry_at_ns);

	*wait_ns = 0;
	if (s->is_patching || !s->has_wanted || !s->exists || s->is_held ||
	    s->wanted == kube_replicas_current(s))
		return false;
	if (at > now_ns) {
		*wait_ns = at - now_ns;
		return false;
	}
	*n = s->wanted;
	return true;
}

void
kube_replicas_patch_sent(struct kube_replicas *s, uint32_t n)
{
	s->is_patching = true;
	s->asked = n;
	s->overrule_at_ns = s->retry_at_ns = 0;
}

bool
kube_replicas_patch_done(struct kube_replicas *s, uint32_t n, const char *rv, int64_t now_ns,
			 uint32_t random)
{
	s->is_patching = s->is_patch_unsure = s->was_unconfirmed = false;
	s->patched = n;
	snprintf(s->patched_rv, sizeof s->patched_rv, "%s", rv);
	backoff_reset(&s->retry);
	if (digits(rv) == 0 || digits(s->observed_rv) == 0)
		s->is_unconfirmed = s->observed != n;
	else
		s->is_unconfirmed = kube_rv_is_older(s->observed_rv, rv);
	/* The watch may have shown a newer change before the answer came. */
	return !s->is_unconfirmed && is_foreign(s, n, now_ns, random);
}

void
kube_replicas_patch_failed(struct kube_replicas *s, int64_t now_ns, int64_t delay)
{
	s->is_patching = false;
	s->is_patch_unsure = true;
	s->retry_at_ns = now_ns + delay;
}

void
kube_replicas_retry_now(struct kube_replicas *s)
{
	s->retry_at_ns = 0;
}
