using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// GET /v1/session: a token of what this node's replicas have applied now. Reads that carry it see at least as much, on any node:
/// a starting line for readers who were not handed the token of a writer.
/// </summary>
internal sealed class SessionEndpoint(FrontDoor door)
{
    public async Task MintAsync(HttpContext context)
    {
        if (door.Store is not { } store)
        {
            await door.WriteProblemAsync(context, door.Starting());
            return;
        }

        SessionToken token = SessionToken.Empty(door.Config.ClusterId);
        int groups = 0;
        foreach ((GroupId group, SessionPoint point) in store.SessionPoints())
        {
            token = token.With(group, point, coversAll: false);
            groups++;
        }

        string text = token.ToString();
        context.Response.Headers[KvHeaders.Session] = text;
        context.Response.Headers.CacheControl = "no-store";
        await JsonBody.WriteAsync(context, "application/json", (text, groups, token.Overflow, door.NodeName), static (json, minted) =>
        {
            json.WriteString("session", minted.text);
            json.WriteString("node", minted.NodeName);
            json.WriteNumber("groups", minted.groups);
            json.WriteBoolean("overflow", minted.Overflow);
        });
    }
}
