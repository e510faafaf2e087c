using System.Xml.Linq;
using KvStore.Protocol;
using Microsoft.AspNetCore.DataProtection.Repositories;

namespace KvStore.Client;

/// <summary>
/// Keys of data protection: each element under a key of its own, and one index that names them, all with one hash tag, so that an element and its
/// line in the index are written together. The index may have 1 MiB, some ten thousand elements; beyond it storing fails with TooLarge.
/// </summary>
internal sealed class KvXmlRepository(IKvStore store, string application) : IXmlRepository
{
    private const char Separator = '\n';

    private readonly string _prefix = $"{{data-protection/{application}}}/";

    private string Index => _prefix + "index";

    public IReadOnlyCollection<XElement> GetAllElements() => Task.Run(GetAllElementsAsync).GetAwaiter().GetResult();

    public void StoreElement(XElement element, string friendlyName) => Task.Run(() => StoreAsync(element)).GetAwaiter().GetResult();

    private async Task<IReadOnlyCollection<XElement>> GetAllElementsAsync()
    {
        string? names = await store.GetAsync(Index, Read.Strong).ConfigureAwait(false);
        if (names is null)
        {
            return [];
        }

        IReadOnlyList<KvRead> elements = await store.GetManyAsync(
            [.. names.Split(Separator).Select(name => (KvKey)(_prefix + name))], Read.Strong).ConfigureAwait(false);
        return [.. elements.Where(element => element.Found).Select(element => XElement.Parse(element.Value.AsText()))];
    }

    private async Task StoreAsync(XElement element)
    {
        // A name of its own: two instances that store under the same friendly one must not lose each other's element.
        string name = Guid.NewGuid().ToString("N");
        while (true)
        {
            KvRead index = await store.GetAsync(Index, Read.Strong).ConfigureAwait(false);
            string names = index.Found ? index.Value.AsText() + Separator + name : name;
            KvTransactionResult stored = await store.TransactAsync(new KvTransaction()
                .Put(Index, names, new WriteOptions { IfRevision = index.Revision })
                .Put(_prefix + name, element.ToString(SaveOptions.DisableFormatting))).ConfigureAwait(false);
            if (stored.Applied)
            {
                return;
            }

            if (stored.Items[0].Code != ErrorCode.ConditionFailed)
            {
                throw new KvException(stored.Items[0].Code, $"the element cannot be stored under {_prefix}{name}");
            }
        }
    }
}
