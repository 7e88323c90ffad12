/* kube_replicas: when a PATCH is due, and which changes come from another client. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_replicas.h"
#include "common/clk.h"
#include "common/text.h"

/* What happens, and the state after it. */
struct step {
	enum {
		WANT,
		BY,
		OBSERVE,
		AUTHOR,
		HOLD,
		SHOWN,
		SENT,
		DONE,
		FAILED,
		RETRY,
		GONE,
		LIST_BEGIN,
		LIST_END,
		TIME
	} what;
	uint32_t n;
	/* the resourceVersion.  BY: what managedFields says from now on, "MANAGER TIME" or
	 * "MANAGER/scale TIME"; AUTHOR: the author that is expected, or NULL */
	const char *rv;
	bool is_foreign; /* returned by OBSERVE, HOLD or DONE */
	int due;	 /* the replicas that are to be set now; NONE, or LATER: after a wait */
};

enum { NONE = -1, LATER = -2 };

static int64_t now_ns;

static struct kube_author author;

static bool
set_author(const char *text)
{
	author.by_scale = strstr(text, "/scale") != NULL;
	snprintf(author.manager, sizeof author.manager, "%.*s", (int)strcspn(text, "/ "), text);
	snprintf(author.time, sizeof author.time, "%s", strchr(text, ' ') + 1);
	return false;
}

static bool
expect_author(const struct kube_replicas *s, const char *expected)
{
	const char *name = kube_replicas_author(s);

	if (!text_equal(name, expected))
		fail_msg("author %s, expected %s", name == NULL ? "none" : name,
			 expected == NULL ? "none" : expected);
	return false;
}

static bool
take(struct kube_replicas *s, const struct step *step)
{
	switch (step->what) {
	case WANT:
		kube_replicas_want(s, step->n);
		return false;
	case OBSERVE:
		return kube_replicas_observe(s, step->n, step->rv, &author, now_ns, UINT32_MAX);
	case BY:
		return set_author(step->rv);
	case AUTHOR:
		return expect_author(s, step->rv);
	case HOLD:
		return kube_replicas_hold(s);
	case SHOWN:
		kube_replicas_shown(s);
		return false;
	case SENT:
		kube_replicas_patch_sent(s, step->n);
		return false;
	case DONE:
		return kube_replicas_patch_done(s, step->n, step->rv, now_ns, UINT32_MAX);
	case FAILED:
		kube_replicas_patch_failed(s, now_ns, CLK_S);
		return false;
	case RETRY:
		kube_replicas_retry_now(s);
		return false;
	case LIST_BEGIN:
		kube_replicas_list_begin(s);
		return false;
	case LIST_END:
		kube_replicas_list_end(s);
		return false;
	case GONE:
		kube_replicas_gone(s);
		return false;
	default:
		now_ns += step->n * CLK_S;
		return false;
	}
}

static int
due_of(const struct kube_replicas *s)
{
	int64_t wait;
	uint32_t n;

	if (kube_replicas_due(s, now_ns, &n, &wait))
		return (int)n;
	return wait > 0 ? LATER : NONE;
}

static void
play(bool is_overruling, const struct step *v, size_t n)
{
	struct kube_replicas s;
	size_t i;

	now_ns = CLK_S;
	author = (struct kube_author){.manager = ""};
	kube_replicas_init(&s, is_overruling);
	for (i = 0; i < n; i++) {
		bool is_foreign = take(&s, &v[i]);
		int due = due_of(&s);

		if (is_foreign != v[i].is_foreign || due != v[i].due)
			fail_msg("step %zu: foreign %d, expected %d; due %d, expected %d", i,
				 is_foreign, v[i].is_foreign, due, v[i].due);
	}
}

#define PLAY(is_overruling, ...)                                                                   \
	do {                                                                                       \
		static const struct step v_[] = {__VA_ARGS__};                                     \
		play(is_overruling, v_, ARRAY_LEN(v_));                                            \
	} while (0)

static void
nothing_is_set_before_the_workload_is_observed(void **state)
{
	(void)state;
	PLAY(false, {WANT, 3, NULL, false, NONE}, {OBSERVE, 0, "10", false, 3},
	     {SENT, 3, NULL, false, NONE}, {DONE, 3, "11", false, NONE},
	     {OBSERVE, 3, "11", false, NONE}, {GONE, 0, NULL, false, NONE},
	     {OBSERVE, 0, "20", false, 3});
}

static void
older_versions_are_ignored(void **state)
{
	(void)state;
	/* the watch is slower than the answer to the PATCH */
	PLAY(false, {OBSERVE, 0, "10", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {DONE, 1, "12", false, NONE},
	     {OBSERVE, 0, "11", false, NONE}, {OBSERVE, 1, "12", false, NONE},
	     {OBSERVE, 1, "13", false, NONE});
	/* it is faster */
	PLAY(false, {OBSERVE, 0, "10", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {OBSERVE, 1, "12", false, NONE},
	     {OBSERVE, 1, "13", false, NONE}, {DONE, 1, "12", false, NONE});
	/* 9 is older than 10 */
	PLAY(false, {OBSERVE, 0, "9", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {DONE, 1, "10", false, NONE},
	     {OBSERVE, 0, "9", false, NONE}, {OBSERVE, 1, "10", false, NONE});
}

static void
a_list_counts_whatever_its_versions(void **state)
{
	(void)state;
	/* a cluster that was restored from an older state */
	PLAY(false, {OBSERVE, 0, "900", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {DONE, 1, "901", false, NONE},
	     {LIST_BEGIN, 0, NULL, false, NONE}, {OBSERVE, 0, "500", false, NONE},
	     {LIST_END, 0, NULL, false, 1}, {SENT, 1, NULL, false, NONE},
	     {DONE, 1, "501", false, NONE}, {OBSERVE, 1, "501", false, NONE});
	/* a list that began before the PATCH was answered */
	PLAY(false, {OBSERVE, 0, "10", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {LIST_BEGIN, 0, NULL, false, NONE},
	     {DONE, 1, "12", false, NONE}, {OBSERVE, 0, "11", false, NONE},
	     {LIST_END, 0, NULL, false, NONE}, {OBSERVE, 1, "12", false, NONE});
}

static void
what_was_wanted_last_counts(void **state)
{
	(void)state;
	PLAY(false, {OBSERVE, 0, "1", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {WANT, 5, NULL, false, NONE}, {DONE, 1, "2", false, 5},
	     {OBSERVE, 1, "2", false, 5}, {SENT, 5, NULL, false, NONE},
	     {OBSERVE, 5, "3", false, NONE}, {DONE, 5, "3", false, NONE});
}

static void
a_patch_that_failed_is_sent_again_and_may_have_been_carried_out(void **state)
{
	(void)state;
	PLAY(false, {OBSERVE, 0, "1", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {FAILED, 0, NULL, false, LATER},
	     {TIME, 1, NULL, false, 1}, {SENT, 1, NULL, false, NONE}, {DONE, 1, "2", false, NONE});
	/* it was carried out, and another number is wanted by now */
	PLAY(false, {OBSERVE, 0, "1", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {FAILED, 0, NULL, false, LATER},
	     {WANT, 2, NULL, false, LATER}, {OBSERVE, 1, "2", false, LATER},
	     {TIME, 1, NULL, false, 2});
	/* the server is back: the rest of the delay is over */
	PLAY(false, {OBSERVE, 0, "1", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {FAILED, 0, NULL, false, LATER},
	     {RETRY, 0, NULL, false, 1});
}

static void
another_client_is_respected(void **state)
{
	(void)state;
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {OBSERVE, 5, "2", true, NONE}, {WANT, 3, NULL, false, NONE},
	     {OBSERVE, 4, "3", true, NONE},
	     /* zero is ours to set */
	     {WANT, 0, NULL, false, 0}, {SENT, 0, NULL, false, NONE}, {DONE, 0, "4", false, NONE},
	     {OBSERVE, 0, "4", false, NONE},
	     /* the other client sets it again */
	     {OBSERVE, 2, "5", true, NONE},
	     /* and so is more than zero, where there are none */
	     {OBSERVE, 0, "6", false, NONE}, {WANT, 2, NULL, false, 2});
	/* it sets what is wanted */
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {WANT, 3, NULL, false, 3}, {OBSERVE, 3, "2", false, NONE});
	/* it sets it while our PATCH is under way: before that, and after it */
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 2, NULL, false, 2},
	     {SENT, 2, NULL, false, NONE}, {OBSERVE, 7, "2", false, NONE},
	     {DONE, 2, "3", false, NONE}, {OBSERVE, 2, "3", false, NONE});
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 2, NULL, false, 2},
	     {SENT, 2, NULL, false, NONE}, {OBSERVE, 2, "2", false, NONE},
	     {OBSERVE, 7, "3", false, NONE}, {DONE, 2, "2", true, NONE});
}

static void
a_hold_ends_when_the_reconciler_wants_another_number_knowing_it(void **state)
{
	(void)state;
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {OBSERVE, 5, "2", true, NONE},
	     /* what was wanted before the view came says nothing about the five */
	     {WANT, 3, NULL, false, NONE}, {SHOWN, 0, NULL, false, NONE},
	     {WANT, 5, NULL, false, NONE}, {WANT, 8, NULL, false, 8}, {SENT, 8, NULL, false, NONE},
	     {DONE, 8, "3", false, NONE}, {OBSERVE, 8, "3", false, NONE},
	     /* a change after the view is a new hold */
	     {SHOWN, 0, NULL, false, NONE}, {OBSERVE, 2, "4", true, NONE},
	     {WANT, 8, NULL, false, NONE}, {SHOWN, 0, NULL, false, NONE},
	     {WANT, 1, NULL, false, 1});
}

static void
the_object_names_who_has_set_the_replicas(void **state)
{
	(void)state;
	PLAY(false, {BY, 0, "kubectl-create 10", false, NONE}, {OBSERVE, 1, "1", false, NONE},
	     {AUTHOR, 0, "kubectl-create", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {BY, 0, "kubectl/scale 20", false, NONE}, {OBSERVE, 5, "2", true, NONE},
	     {AUTHOR, 0, "kubectl", false, NONE},
	     /* a change of something else */
	     {BY, 0, "kubectl/scale 20", false, NONE}, {OBSERVE, 5, "3", false, NONE},
	     {AUTHOR, 0, "kubectl", false, NONE},
	     /* again within a second */
	     {BY, 0, "kubectl/scale 20", false, NONE}, {OBSERVE, 6, "4", true, NONE},
	     {AUTHOR, 0, "kubectl", false, NONE}, {BY, 0, "argocd-controller 20", false, NONE},
	     {OBSERVE, 7, "5", true, NONE}, {AUTHOR, 0, "argocd-controller", false, NONE});
	/* the server does not record who writes to the scale: who was there before is not it */
	PLAY(false, {BY, 0, "helm 10", false, NONE}, {OBSERVE, 1, "1", false, NONE},
	     {AUTHOR, 0, "helm", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {BY, 0, "helm 10", false, NONE}, {OBSERVE, 5, "2", true, NONE},
	     {AUTHOR, 0, NULL, false, NONE}, {BY, 0, "helm 10", false, NONE},
	     {OBSERVE, 5, "3", false, NONE}, {AUTHOR, 0, NULL, false, NONE});
	/* the watch was faster than the answer to our PATCH */
	PLAY(false, {BY, 0, "helm 10", false, NONE}, {OBSERVE, 1, "1", false, NONE},
	     {AUTHOR, 0, "helm", false, NONE}, {WANT, 2, NULL, false, 2},
	     {SENT, 2, NULL, false, NONE}, {BY, 0, "activator/scale 20", false, NONE},
	     {OBSERVE, 2, "2", false, NONE}, {AUTHOR, 0, "activator", false, NONE},
	     {BY, 0, "kubectl/scale 20", false, NONE}, {OBSERVE, 7, "3", false, NONE},
	     {AUTHOR, 0, "kubectl", false, NONE}, {DONE, 2, "2", true, NONE});
}

static void
what_our_field_manager_has_set_is_never_foreign(void **state)
{
	(void)state;
	/* a PATCH of the process before this one */
	PLAY(false, {BY, 0, "activator/scale 10", false, NONE}, {OBSERVE, 1, "1", false, NONE},
	     {AUTHOR, 0, "activator", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {BY, 0, "activator/scale 11", false, NONE}, {OBSERVE, 4, "2", false, 1},
	     {AUTHOR, 0, "activator", false, 1});
	/* one of ours ends a hold */
	PLAY(false, {OBSERVE, 1, "1", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {BY, 0, "kubectl/scale 20", false, NONE}, {OBSERVE, 5, "2", true, NONE},
	     {AUTHOR, 0, "kubectl", false, NONE}, {BY, 0, "activator/scale 21", false, NONE},
	     {OBSERVE, 3, "3", false, 1}, {AUTHOR, 0, "activator", false, 1});
}

static void
a_hold_goes_on_after_a_restart(void **state)
{
	(void)state;
	PLAY(false, {BY, 0, "kubectl/scale 10", false, NONE}, {OBSERVE, 5, "1", false, NONE},
	     {HOLD, 5, NULL, true, NONE}, {WANT, 2, NULL, false, NONE},
	     {SHOWN, 0, NULL, false, NONE}, {WANT, 2, NULL, false, 2});
	/* ours, of a manifest, of nobody that the object names, or overruled */
	PLAY(false, {BY, 0, "activator/scale 10", false, NONE}, {OBSERVE, 5, "1", false, NONE},
	     {HOLD, 5, NULL, false, NONE}, {WANT, 2, NULL, false, 2});
	PLAY(false, {BY, 0, "kubectl-create 10", false, NONE}, {OBSERVE, 5, "1", false, NONE},
	     {HOLD, 5, NULL, false, NONE}, {WANT, 2, NULL, false, 2});
	PLAY(false, {OBSERVE, 5, "1", false, NONE}, {HOLD, 5, NULL, false, NONE},
	     {WANT, 2, NULL, false, 2});
	PLAY(true, {BY, 0, "kubectl/scale 10", false, NONE}, {OBSERVE, 5, "1", false, NONE},
	     {HOLD, 5, NULL, false, NONE}, {WANT, 2, NULL, false, 2});
}

static void
a_wish_does_not_count_before_the_server_has_set_it(void **state)
{
	(void)state;
	/* The watch is silent.  The second PATCH fails: it is sent again. */
	PLAY(false, {OBSERVE, 0, "1", false, NONE}, {WANT, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {DONE, 1, "2", false, NONE}, {WANT, 4, NULL, false, 4},
	     {SENT, 4, NULL, false, NONE}, {FAILED, 0, NULL, false, LATER},
	     {TIME, 1, NULL, false, 4});
}

static void
another_client_is_overruled_after_a_back_off(void **state)
{
	(void)state;
	PLAY(true, {OBSERVE, 1, "1", false, NONE}, {WANT, 1, NULL, false, NONE},
	     {OBSERVE, 5, "2", true, LATER}, {TIME, 1, NULL, false, 1},
	     {SENT, 1, NULL, false, NONE}, {DONE, 1, "3", false, NONE},
	     {OBSERVE, 5, "4", true, LATER}, {TIME, 1, NULL, false, LATER},
	     {TIME, 1, NULL, false, 1}, {SENT, 1, NULL, false, NONE}, {DONE, 1, "5", false, NONE},
	     {OBSERVE, 0, "6", true, LATER},
	     /* a scale-up from zero does not wait for the back-off */
	     {WANT, 1, NULL, false, 1});
}

static void
the_back_off_against_another_client_has_a_bound(void **state)
{
	static const struct kube_author nothing;
	struct kube_replicas s;
	uint32_t n, times = 0;
	int64_t wait, rv = 10;
	char text[20];

	(void)state;
	now_ns = CLK_S;
	kube_replicas_init(&s, true);
	assert_false(kube_replicas_observe(&s, 1, "1", &nothing, now_ns, 0));
	kube_replicas_want(&s, 1);
	while (now_ns < 3600 * CLK_S) { /* an hour with a client that never gives way */
		snprintf(text, sizeof text, "%lld", (long long)++rv);
		assert_true(kube_replicas_observe(&s, 5, text, &nothing, now_ns, UINT32_MAX));
		while (!kube_replicas_due(&s, now_ns, &n, &wait)) {
			assert_true(wait > 0 && wait <= 900 * CLK_S);
			now_ns += wait;
		}
		kube_replicas_patch_sent(&s, n);
		snprintf(text, sizeof text, "%lld", (long long)++rv);
		assert_false(kube_replicas_patch_done(&s, n, text, now_ns, 0));
		times++;
	}
	assert_in_range(times, 10, 16);
}

static void
versions(void **state)
{
	(void)state;
	assert_true(kube_rv_is_older("9", "10"));
	assert_true(kube_rv_is_older("10", "11"));
	assert_false(kube_rv_is_older("11", "11"));
	assert_false(kube_rv_is_older("abc", "abd"));
	assert_false(kube_rv_is_older("", "1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_set_before_the_workload_is_observed),
		cmocka_unit_test(older_versions_are_ignored),
		cmocka_unit_test(a_list_counts_whatever_its_versions),
		cmocka_unit_test(what_was_wanted_last_counts),
		cmocka_unit_test(a_patch_that_failed_is_sent_again_and_may_have_been_carried_out),
		cmocka_unit_test(another_client_is_respected),
		cmocka_unit_test(a_hold_ends_when_the_reconciler_wants_another_number_knowing_it),
		cmocka_unit_test(the_object_names_who_has_set_the_replicas),
		cmocka_unit_test(what_our_field_manager_has_set_is_never_foreign),
		cmocka_unit_test(a_hold_goes_on_after_a_restart),
		cmocka_unit_test(a_wish_does_not_count_before_the_server_has_set_it),
		cmocka_unit_test(another_client_is_overruled_after_a_back_off),
		cmocka_unit_test(the_back_off_against_another_client_has_a_bound),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
