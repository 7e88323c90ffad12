/* libFuzzer: any bytes as the answer of an API server, a watch or a list, as the first byte
 * says.  The objects are the same, however the bytes are cut into pieces, and every getter
 * works on every object. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_split.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_problem.h"
#include "autoscaler/kubernetes/kube_selector.h"
#include "autoscaler/kubernetes/kube_workload_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
ask_pod(const struct kube_event *ev)
{
	static const char *const ports[] = {NULL, "http", "8080"};
	struct kube_problem problem;
	struct kube_pod_fields pod;
	size_t i;

	kube_pod_fields_decode(ev, &pod);
	if (kube_problem_of_pod(&pod, ev->name, &problem))
		CHECK(problem.reason[0] != '\0' && problem.message[0] != '\0');
	for (i = 0; i < ARRAY_LEN(ports); i++) {
		char *probe = kube_event_probe(ev, ports[i]);

		CHECK(strchr(probe, '\r') == NULL && strlen(probe) < 4096);
		kube_event_port(ev, ports[i]);
		free(probe);
	}
}

static void
ask_workload(const struct kube_event *ev)
{
	struct kube_selector *selector = NULL;
	struct kube_problem problem;
	struct kube_workload_fields w;
	struct err e;

	kube_workload_fields_decode(ev, &w);
	kube_problem_of_workload(&w, &problem);
	if (w.selector != NULL)
		selector = kube_selector_parse(w.selector, &e);
	if (selector != NULL)
		kube_selector_matches(selector, kube_event_label, ev);
	kube_selector_free(&selector);
	kube_workload_fields_fini(&w);
}

static void
ask_answers(const char *text, size_t n)
{
	struct kube_scale_fields scale;
	char *a, *b;
	int64_t retry_s;
	bool is_scaled;
	struct err e;

	if (kube_scale_fields_decode(&scale, text, n, &e) == 0)
		kube_scale_fields_fini(&scale);
	if (kube_list_decode(text, n, &a, &b, &e) == 0) {
		free(a);
		free(b);
	}
	kube_status_decode(text, n, &a, &b, &retry_s);
	free(a);
	free(b);
	free(kube_plural_decode(text, n, "Deployment", &is_scaled));
}

static bool
ask(enum kube_piece piece, const char *text, size_t n, void *arg)
{
	struct kube_event ev;
	struct err e;

	strbuf_add(arg, text, n);
	strbuf_adds(arg, piece == KUBE_ITEM ? "\ni" : "\ne");
	ask_answers(text, n);
	if (kube_event_decode(&ev, text, n, piece == KUBE_ITEM, &e) < 0)
		return true;
	ask_pod(&ev);
	ask_workload(&ev);
	kube_event_fini(&ev);
	return true;
}

static bool
note(enum kube_piece piece, const char *text, size_t n, void *arg)
{
	strbuf_add(arg, text, n);
	strbuf_adds(arg, piece == KUBE_ITEM ? "\ni" : "\ne");
	return true;
}

static int
feed(enum kube_form form, const char *data, size_t size, size_t step, kube_split_fn *fn,
     struct strbuf *out)
{
	struct kube_split s;
	size_t at;
	int rc = 0;

	kube_split_init(&s, form);
	for (at = 0; at < size && rc == 0; at += step)
		rc = kube_split_feed(&s, data + at, MIN(step, size - at), fn, out);
	kube_split_fini(&s);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum kube_form form = size > 0 && data[0] == 'l' ? KUBE_LIST : KUBE_LINES;
	const char *text = size > 0 ? (const char *)data + 1 : "";
	struct strbuf whole, cut;
	int rc;

	if (size == 0)
		return 0;
	strbuf_init(&whole, 0);
	strbuf_init(&cut, 0);
	rc = feed(form, text, size - 1, size, ask, &whole);
	CHECK(feed(form, text, size - 1, 1 + data[size - 1] % 7, note, &cut) == rc);
	CHECK(strcmp(strbuf_str(&whole), strbuf_str(&cut)) == 0);
	strbuf_fini(&cut);
	strbuf_fini(&whole);
	return 0;
}
