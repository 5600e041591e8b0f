// How much CPU time a Linux control group grants: a container may see 64 CPUs and have the time of two.
#pragma once

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace recurra {

// quota / period of one group of version 2, "max 100000" or "200000 100000"; infinite where there is no limit.
inline double quota_v2(const std::string &folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::numeric_limits<double>::infinity();
}

// The same of version 1, where a quota of -1 is no limit.
inline double quota_v1(const std::string &folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return std::numeric_limits<double>::infinity();
}

// CPUs' worth of time that this process may use, the least of its groups and theirs above; infinite without a limit.
// `groups` is /proc/self/cgroup and `root` /sys/fs/cgroup but in tests. Within a container the path of a group may be
// the host's, which isn't there: then the folders above it are asked, and the root is the container's own group.
inline double cpu_quota(const std::string &groups, const std::string &root) {
  double least = std::numeric_limits<double>::infinity();
  std::ifstream file(groups);
  for (std::string line; std::getline(file, line);) {  // 4:cpu,cpuacct:/path in version 1, 0::/path in version 2
    std::string number, controllers, path;
    std::istringstream fields(line);
    if (!std::getline(fields, number, ':') || !std::getline(fields, controllers, ':')) continue;
    std::getline(fields, path);
    const bool unified = controllers.empty();
    if (!unified && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    while (!path.empty() && path.back() == '/') path.pop_back();
    for (;;) {
      least = std::fmin(least, unified ? quota_v2(root + path) : quota_v1(root + "/cpu" + path));
      if (path.empty()) break;
      path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

}  // namespace recurra
