<qgis version="3.22" styleCategories="AllStyleCategories">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
        <paletteEntry value="1" color="#1b6830" label="to forest" alpha="255" />
        <paletteEntry value="2" color="#aaa642" label="to savannas" alpha="255" />
        <paletteEntry value="3" color="#b2da6e" label="to grasslands" alpha="255" />
        <paletteEntry value="4" color="#46a596" label="to wetlands" alpha="255" />
        <paletteEntry value="5" color="#f8c854" label="to croplands" alpha="255" />
        <paletteEntry value="6" color="#d42d34" label="to urban" alpha="255" />
        <paletteEntry value="7" color="#b4a0cd" label="to tundra" alpha="255" />
        <paletteEntry value="8" color="#968e86" label="to barren" alpha="255" />
        <paletteEntry value="9" color="#3468b8" label="to water" alpha="255" />
        <paletteEntry value="10" color="#ca9262" label="to open shrublands" alpha="255" />
        <paletteEntry value="11" color="#dddddd" label="No change" alpha="255" />
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>