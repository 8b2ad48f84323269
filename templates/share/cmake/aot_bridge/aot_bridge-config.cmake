# find_package(aot_bridge): the C API of an aotpack bundle as the target aot_bridge::aot_bridge.
#
# Lies in BUNDLE/share/cmake/aot_bridge; every path follows from there, so the bundle can be moved. Also sets
# AOT_BRIDGE_BUNDLE, the folder of the bundle.

get_filename_component(AOT_BRIDGE_BUNDLE "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT EXISTS "${AOT_BRIDGE_BUNDLE}/lib/libaot_bridge.so")
  set(aot_bridge_NOT_FOUND_MESSAGE "${AOT_BRIDGE_BUNDLE}/lib/libaot_bridge.so is missing: the bundle is incomplete")
  set(aot_bridge_FOUND FALSE)
  return()
endif()

if(NOT TARGET aot_bridge::aot_bridge)
  add_library(aot_bridge::aot_bridge SHARED IMPORTED)
  set_target_properties(aot_bridge::aot_bridge PROPERTIES
    IMPORTED_LOCATION "${AOT_BRIDGE_BUNDLE}/lib/libaot_bridge.so"
    IMPORTED_SONAME libaot_bridge.so
    INTERFACE_INCLUDE_DIRECTORIES "${AOT_BRIDGE_BUNDLE}/include"
    INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS}")
endif()
