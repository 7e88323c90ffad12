/* kn_image - references of container images: REGISTRY/REPOSITORY[:TAG][@DIGEST].
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_IMAGE_H
#define AUTOSCALER_KNATIVE_KN_IMAGE_H

#include "common/base.h"

/* Does the reference name its image by a digest already? */
bool kn_image_has_digest(const char *image);

/* The image as a reference by digest, where a pod that was given `image` says in its status that it
 * runs `image_id` ("docker-pullable://nginx@sha256:…").  NULL: that is of another repository, or
 * has no digest, as after an import by hand; or the image's registry is among those to be skipped.
 * The caller's. */
NODISCARD char *kn_image_pin(const char *image, const char *image_id, const char *skipped);

#endif
