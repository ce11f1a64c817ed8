import { useInfiniteQuery, useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Button, FlatList, Text, TextInput, View } from 'react-native'
import { apiOptions, authClient, BearerProvider, useTRPC } from './api'

export default function App() {
  const { data: session, isPending } = authClient.useSession()
  return (
    <BearerProvider {...apiOptions}>
      <View style={{ padding: 48 }}>
        {isPending ? <Text>One moment…</Text> : session ? <Tasks /> : <SignIn />}
      </View>
    </BearerProvider>
  )
}

function SignIn() {
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const [problem, setProblem] = useState<string>()
  const submit = async () => {
    const { error } = await authClient.signUp.email({ name: email, email, password })
    // Somebody with this address has signed up before.
    const { error: refusal } = error ? await authClient.signIn.email({ email, password }) : { error: null }
    setProblem(refusal?.message)
  }
  return (
    <>
      <TextInput value={email} onChangeText={setEmail} placeholder="Email" autoCapitalize="none" />
      <TextInput value={password} onChangeText={setPassword} placeholder="Password" secureTextEntry />
      <Button title="Sign in or sign up" onPress={submit} />
      <Text role="alert">{problem}</Text>
    </>
  )
}

function Tasks() {
  const trpc = useTRPC()
  const [title, setTitle] = useState('')
  const list = useInfiniteQuery(
    trpc.tasks.list.infiniteQueryOptions({}, { getNextPageParam: page => page.nextCursor }),
  )
  const create = useMutation(
    trpc.tasks.create.mutationOptions({
      onSuccess(_task, _input, _before, { client }) {
        setTitle('')
        return client.invalidateQueries(trpc.tasks.list.pathFilter())
      },
    }),
  )
  return (
    <>
      <TextInput value={title} onChangeText={setTitle} placeholder="What needs doing?" />
      <Button title="Add" onPress={() => create.mutate({ title })} disabled={title.trim() === ''} />
      <Text role="alert">{create.error?.message ?? list.error?.message}</Text>
      <FlatList
        data={list.data?.pages.flatMap(page => page.items)}
        keyExtractor={task => task.id}
        renderItem={({ item }) => <Text>{item.title}</Text>}
        onEndReached={() => list.hasNextPage && list.fetchNextPage()}
      />
      <Button title="Sign out" onPress={() => authClient.signOut()} />
    </>
  )
}
