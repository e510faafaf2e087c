using KvStore.Protocol;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests;

/// <summary>What tests ask of a result without caring which one it is; 0, false or null where the result has nothing of the kind.</summary>
internal static class ResultViews
{
    extension(CommandResult command)
    {
        public ulong Revision => command.Result?.Revision ?? 0;

        public bool Changed => IsChange(command.Result);

        public long Number => command.Result is Counted counted ? counted.Number : 0;

        public IReadOnlyList<ItemResult>? Items => command.Result switch
        {
            BatchResult batch => batch.Items,
            TransactionResult transaction => transaction.Items,
            _ => null,
        };

        public bool Succeeded => command.Result is TransactionResult { Succeeded: true };
    }

    extension(ItemResult item)
    {
        public ulong Revision => item.Result?.Revision ?? 0;

        public bool Changed => IsChange(item.Result);

        public long Number => item.Result is Counted counted ? counted.Number : 0;
    }

    private static bool IsChange(Result? result) => result is Written { Created: true } or Deleted { Existed: true };
}
