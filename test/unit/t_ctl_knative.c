/* ctl_knative: which command of kn changes the traffic and the tags of a service of Knative's. */
#include "test/unit/unit.h"

#include <stdlib.h>

#include "autoscaler/ctl_knative.h"
#include "common/settings.h"

static char object[] = "shop/service/web", route[] = "shop/route/web", name[] = "shop.web";
static char first[] = "web-00009", second[] = "web-00010", blue[] = "blue", other[] = "shop.other";

/* Two revisions, the newer one of which comes first; its older one has a tag. */
static struct revision_conf revisions[] = {{.name = second}, {.name = first}};
static struct traffic_conf traffic[] = {
	{.revision = first, .percent = 60},
	{.revision = first, .percent = 30, .tag = blue},
	{.revision = second, .percent = 5},
	{.revision = second, .service = other, .percent = 5},
};

static struct service_conf
make(char *knative)
{
	return (struct service_conf){.name = name,
				     .knative = knative,
				     .traffic = traffic,
				     .traffic_n = ARRAY_LEN(traffic),
				     .revisions = revisions,
				     .revisions_n = ARRAY_LEN(revisions)};
}

static void
assert_command(const struct service_conf *service, const struct stored_service *wanted,
	       const char *expected)
{
	char *command = ctl_knative_command(service, wanted);

	assert_string_equal(command, expected);
	free(command);
}

static void
revisions_come_in_the_order_of_their_numbers(void **state)
{
	struct service_conf service = make(object);
	struct stored_service *view = ctl_knative_view(&service);

	(void)state;
	assert_int_equal(view->n, 2);
	assert_string_equal(view->v[0].name, "web-00009");
	assert_int_equal(view->v[0].percent, 90);
	assert_string_equal(view->v[0].tag, "blue");
	assert_int_equal(view->v[1].percent, 5);
	stored_service_free(&view);
}

static void
percents_become_options_of_kn(void **state)
{
	static const struct model_traffic split[] = {{.revision = "web-00009", .percent = 80},
						     {.revision = "latest", .percent = 20}};
	static const struct model_traffic back[] = {{.revision = "web-00009", .percent = 100}};
	struct service_conf service = make(object);
	struct stored_service *view = ctl_knative_view(&service);
	struct err e;

	(void)state;
	assert_int_equal(model_set_traffic(view, split, 2, &e), 0);
	assert_command(&service, view,
		       "kn -n shop service update web --traffic web-00009=80 --traffic @latest=20");
	assert_int_equal(model_set_traffic(view, back, 1, &e), 0);
	assert_command(&service, view, "kn -n shop service update web --traffic web-00009=100");
	stored_service_free(&view);
}

static void
a_tag_leaves_one_revision_before_another_gets_it(void **state)
{
	struct service_conf service = make(object);
	struct stored_service *view = ctl_knative_view(&service);
	struct err e;

	(void)state;
	assert_int_equal(model_set_tag(view, "web-00010", "blue", &e), 0);
	assert_command(&service, view,
		       "kn -n shop service update web --untag blue --tag web-00010=blue");
	assert_int_equal(model_set_tag(view, NULL, "blue", &e), 0);
	assert_command(&service, view, "kn -n shop service update web --untag blue");
	stored_service_free(&view);
}

static void
a_route_without_a_service_is_edited(void **state)
{
	struct service_conf service = make(route);
	struct stored_service *view = ctl_knative_view(&service);
	char *where = ctl_knative_where(&service);

	(void)state;
	assert_command(&service, view, "kubectl -n shop edit routes.serving.knative.dev/web");
	assert_string_equal(where, "Knative's Route shop/web: kubectl -n shop edit "
				   "routes.serving.knative.dev/web");
	free(where);
	stored_service_free(&view);
}

static void
a_service_without_revisions_has_no_traffic(void **state)
{
	struct service_conf service = {.name = name, .knative = object};
	struct stored_service *view = ctl_knative_view(&service);
	char *where = ctl_knative_where(&service);

	(void)state;
	assert_int_equal(view->n, 0);
	assert_command(&service, view, "kn -n shop service update web");
	assert_string_equal(where, "Knative's Service shop/web: kn -n shop service update web");
	free(where);
	stored_service_free(&view);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revisions_come_in_the_order_of_their_numbers),
		cmocka_unit_test(percents_become_options_of_kn),
		cmocka_unit_test(a_tag_leaves_one_revision_before_another_gets_it),
		cmocka_unit_test(a_route_without_a_service_is_edited),
		cmocka_unit_test(a_service_without_revisions_has_no_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
