#include "test/unit/kn_story.h"

#include "autoscaler/knative/kn_configuration.h"
#include "autoscaler/knative/kn_revision.h"
#include "autoscaler/knative/kn_route.h"
#include "autoscaler/knative/kn_service.h"

void
story_begin(struct kn_world *w)
{
	kn_world_open(w);
	w->handlers.v[KN_SERVICE] = kn_service_reconcile;
	w->handlers.v[KN_CONFIGURATION] = kn_configuration_reconcile;
	w->handlers.v[KN_REVISION] = kn_revision_reconcile;
	w->handlers.v[KN_ROUTE] = kn_route_reconcile;
}

void
story_service(struct kn_world *w, const char *image, const char *template, const char *traffic)
{
	char *text = xasprintf(
		"{\"metadata\":{\"name\":\"hello\",\"annotations\":{\"serving.knative.dev/creator\":"
		"\"ann\",\"serving.knative.dev/lastModifier\":\"ann\"}},\"spec\":{\"template\":{"
		"\"metadata\":{%s\"annotations\":{}},\"spec\":{\"containers\":[{\"name\":\"\",\"image\":"
		"\"%s\",\"resources\":{}}]}},\"traffic\":%s}}",
		template, image,
		traffic != NULL ? traffic : "[{\"latestRevision\":true,\"percent\":100}]");

	kn_world_apply(w, KN_SERVICE, text);
	free(text);
}
