#include "backend/graph/ops/all_reduce.h"

#include "backend/collective.h"

namespace nacre {

std::string text_of(const CollectiveRef& collective) {
  return fmt::format("{} of {}@{}", collective->rank(), collective->size(), static_cast<const void*>(collective.get()));
}

namespace {

Types infer_all_reduce(const AllReduceAttrs& p, const Types& in) {
  ensure(p.collective != nullptr && in.size() > (p.follows ? 1u : 0u), "all_reduce without processes or values");
  Types results(in.begin(), in.end() - (p.follows ? 1 : 0));
  for (const Type& type : results)
    need(type.dtype == results.front().dtype && (type.dtype == DType::float32 || type.dtype == DType::float64),
         "wants values of float32 or of float64, got {} and {}", results.front(), type);
  return results;
}

}  // namespace

namespace op {
constinit const OpDef<AllReduceAttrs> all_reduce{
    {.name = "all_reduce", .doc = "y = Σ x over the processes that train together"}, infer_all_reduce};
}  // namespace op

Values ops::all_reduce(const CollectiveRef& collective, Values values, Value earlier) {
  Graph& graph = values.at(0).graph();
  if (earlier) values.push_back(earlier);
  const Node& node =
      graph.add(op::all_reduce, AllReduceAttrs{collective, static_cast<bool>(earlier)}, std::move(values));
  Values results;
  for (int i = 0; i < static_cast<int>(node.types().size()); ++i) results.push_back(node.out(i));
  return results;
}

}  // namespace nacre
