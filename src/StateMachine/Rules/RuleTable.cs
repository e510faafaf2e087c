using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// The rule of every operation. Rules are found by their type, so a rule is one file and there is no list to forget it in; an operation
/// of <see cref="OperationTable"/> with no rule or with two ends the process before it has read a byte of its log.
/// </summary>
public static class RuleTable
{
    private static readonly WriteRule?[] Writes = ByCode<WriteRule>(rule => rule.Code, row => row.IsWrite);
    private static readonly ReadRule?[] Reads = ByCode<ReadRule>(rule => rule.Code, row => row.IsRead && row.Answer == AnswerForm.Once);

    /// <param name="operation">A read that is answered once.</param>
    /// <param name="table">Of the group.</param>
    /// <param name="virtualNode">Of its key.</param>
    /// <param name="atIndex">The applied index the table was read at.</param>
    /// <returns>Null when there is nothing under the key.</returns>
    /// <exception cref="ObjectDisposedException">The table was replaced by an installed snapshot.</exception>
    public static Result? Read(ReadOperation operation, GroupTable table, int virtualNode, out ulong atIndex) =>
        Reads[operation.Code]!.Read(operation, table, virtualNode, out atIndex);

    internal static ReadRule Of(ReadOperation operation) => Reads[operation.Code]!;

    internal static WriteRule Of(WriteOperation operation) => Writes[operation.Code]!;

    internal static KeyRule Of(KeyWrite operation) => (KeyRule)Writes[operation.Code]!;

    private static T?[] ByCode<T>(Func<T, byte> codeOf, Func<OperationRow, bool> needsOne)
        where T : class
    {
        var rules = new T?[OperationTable.All.Count + 1];
        foreach (Type type in typeof(T).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(T)) && !type.IsAbstract))
        {
            var rule = (T)Activator.CreateInstance(type)!;
            Invariant.Check(rules[codeOf(rule)] is null, "an operation has one rule");
            rules[codeOf(rule)] = rule;
        }

        Invariant.Check(
            OperationTable.All.All(row => needsOne(row) == rules[row.Code] is not null), "every operation has the rule it needs");
        return rules;
    }
}
