"""Text, masks and sheets drawn on pictures, for whoever shows some: inspection, reports, segmentations.

In come arrays and captions, out come Pillow images; nothing here knows where they are from. `font_for` finds the font
of every caption, whatever its script, `palette` the colours, `paint_mask` lays a mask over a picture, and
`contact_sheet` puts many on one sheet.
"""
