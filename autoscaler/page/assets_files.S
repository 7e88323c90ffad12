/* assets_files - the files of the status page, as they are in this folder. */
	.section .rodata
	.balign 8

	.macro asset name, file
	.global asset_\name, asset_\name\()_end
asset_\name:
	.incbin "\file"
asset_\name\()_end:
	.byte 0
	.endm

	asset page_html, "autoscaler/page/page.html"
	asset page_css, "autoscaler/page/page.css"
	asset base_js, "autoscaler/page/base.js"
	asset revisions_js, "autoscaler/page/revisions.js"
	asset lists_js, "autoscaler/page/lists.js"
	asset page_js, "autoscaler/page/page.js"
	asset icon_svg, "autoscaler/page/icon.svg"

	.section .note.GNU-stack, "", %progbits
