// The schedule that a test forces, from Python.
#pragma once

#include <string>
#include <utility>

#include "model/plan.h"
#include "python/errors.h"

namespace recurra {

// Members of a plan by name; -1 where one isn't given.
inline PlanWish wish_of(py::handle object) {
  PlanWish wish;
  if (object.is_none()) return wish;
  const std::pair<const char *, Index *> members[] = {{"threads", &wish.threads},
                                                      {"split", &wish.split},
                                                      {"fused", &wish.fused},
                                                      {"chunk", &wish.chunk},
                                                      {"alternate", &wish.alternate},
                                                      {"tile_rows", &wish.tile_rows},
                                                      {"depth_block", &wish.depth_block},
                                                      {"delta_blocks", &wish.delta_blocks}};
  if (!PyDict_Check(object.ptr())) refuse_type("plan", "a dict of integers by name", type_name(object));
  const auto given = py::reinterpret_steal<py::dict>(PyDict_Copy(object.ptr()));
  if (!given) throw py::error_already_set();
  for (const auto &[key, value] : given) {
    bool known = false;
    for (const auto &[name, member] : members) {
      if (py::cast<std::string>(key) != name) continue;
      *member = py::cast<Index>(value);
      known = true;
    }
    if (!known) throw py::key_error(py::cast<std::string>(key));
  }
  return wish;
}

}  // namespace recurra
