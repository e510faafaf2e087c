using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>
/// The rule of every write. Rules are found by their type, so a rule is one file and there is no list to forget it in; a write
/// of <see cref="OperationTable"/> with no rule or with two ends the process before it has read a byte of its log.
/// </summary>
internal static class RuleTable
{
    private static readonly WriteRule?[] Writes = ByCode();

    internal static WriteRule Of(WriteOperation operation) => Writes[operation.Code]!;

    internal static KeyRule Of(KeyWrite operation) => (KeyRule)Writes[operation.Code]!;

    private static WriteRule?[] ByCode()
    {
        var rules = new WriteRule?[OperationTable.All.Count + 1];
        foreach (Type type in typeof(WriteRule).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(WriteRule)) && !type.IsAbstract))
        {
            var rule = (WriteRule)Activator.CreateInstance(type)!;
            Invariant.Check(rules[rule.Code] is null, "a write has one rule");
            rules[rule.Code] = rule;
        }

        Invariant.Check(OperationTable.All.All(row => row.IsWrite == rules[row.Code] is not null), "every write has a rule");
        return rules;
    }
}
