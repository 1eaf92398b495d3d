"""Reports and pre-flights as pages for people: HTML by Jinja2, charts as inline SVG.

report_page, preflight_page  what the pages say
page                         the parts of a page
charts                       geometry of the drawings
rendering                    renders `templates/*.html`
"""
