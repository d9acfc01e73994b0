<qgis version="3.22" styleCategories="AllStyleCategories">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
        <paletteEntry value="1" color="#288c3c" label="greener" alpha="255" />
        <paletteEntry value="2" color="#c8503c" label="barer" alpha="255" />
        <paletteEntry value="3" color="#dddddd" label="No change" alpha="255" />
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>